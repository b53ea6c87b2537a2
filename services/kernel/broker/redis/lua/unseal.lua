#!lua flags=allow-oom
-- Ends a handover: this server goes on with the history. Run again after a lost answer it does nothing more.
-- KEYS: 1 history record
-- ARGV: 1 the handover's secret name, 2 its history id, 3 the replication id that this server must have: one that has
--       begun anew since, perhaps with an older file, must not go on
-- Returns 1, or 0 where this handover is not open
--include clock
--include sealed
--include replication
--include fence

local master, info = replication()
if not master then
  return refused(KEYS[1])
end
local record = redis.call('HMGET', KEYS[1], 'id', 'replid', 'seal')
local replid = string.match(info, 'master_replid:(%x+)')
if record[1] ~= ARGV[2] or replid ~= ARGV[3] then
  return 0
end
if record[3] == ARGV[1] then
  redis.call('HSET', KEYS[1], 'replid', replid)
  redis.call('HDEL', KEYS[1], 'seal', 'seal_until')
  return 1
end
return not record[3] and record[2] == replid and 1 or 0

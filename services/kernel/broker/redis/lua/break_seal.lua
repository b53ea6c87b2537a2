#!lua flags=allow-oom
-- Ends a handover that nobody finishes: writers go on at once, with a new history id, of which all readers are told.
-- KEYS: 1 history record
-- ARGV: 1 candidate history id
-- Returns 1, or 0 where none is open
--include clock
--include sealed
--include replication
--include fence

local master, info = replication()
if not master then
  return refused(KEYS[1])
end
if redis.call('HGET', KEYS[1], 'seal_until') == 'moved' then
  return sealed(KEYS[1])
end
if redis.call('HDEL', KEYS[1], 'seal', 'seal_until') == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'replid', string.match(info, 'master_replid:(%x+)'))
return 1

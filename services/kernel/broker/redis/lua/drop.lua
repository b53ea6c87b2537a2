#!lua flags=allow-oom
-- Drops a channel's history: a new epoch begins at the offset reached; readers are told by a nudge on the bus.
-- KEYS: 1 history record, 2 head, 3 log, 4 bus
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 new epoch, 5 channel, 6 head ttl ms
-- Returns the offset
--include clock
--include sealed
--include replication
--include fence

local history = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused(KEYS[1])
end
local offset = redis.call('HGET', KEYS[2], 'offset') or '0'
redis.call('HSET', KEYS[2], 'epoch', ARGV[4], 'offset', offset, 'began', offset, 'history', history)
redis.call('DEL', KEYS[3])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[3], '0-*',
  'h', 'n ' .. ARGV[5] .. ' ' .. ARGV[4] .. ' ' .. offset .. ' 0 ', 'd', '', 'm', '')
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[6]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
return offset

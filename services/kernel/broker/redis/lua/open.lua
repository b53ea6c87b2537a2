#!lua flags=allow-oom
-- Makes history record and head valid on the master, where they are not, and looks in the same call: after a failover each
-- gateway needs both of each channel.
-- KEYS: 1 history record, 2 head, 3 log, 4 bus
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 candidate epoch, then what is asked for: see seek
-- Returns what seek returns
--include clock
--include sealed
--include replication
--include fence
--include head
--include page
--include seek

local history = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused(KEYS[1])
end
opened(KEYS[2], KEYS[3], history, ARGV[3])
local head = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'began')
return seek(history, head, KEYS[3], KEYS[4], 4)

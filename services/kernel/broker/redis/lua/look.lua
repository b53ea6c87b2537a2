#!lua flags=no-writes
-- Where a channel's head is, and what is missing since the lowest position asked for that the log can serve.
-- KEYS: 1 history record, 2 head, 3 log, 4 bus
-- ARGV: 1 trusted restart (0/1), then what is asked for: see seek
-- Returns what seek returns, or 0 when record or head do not match.
-- On a replica the role does not match: its answer would be late, and nobody could tell.
--include clock
--include sealed
--include replication
--include fence
--include page
--include seek

local history = matching(KEYS[1], ARGV[1])
if not history then
  return 0
end
local head = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'began', 'history')
if head[4] ~= history then
  return 0
end
return seek(history, head, KEYS[3], KEYS[4], 2)

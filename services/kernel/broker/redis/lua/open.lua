#!lua flags=allow-oom
-- Makes history record and head valid on the master, where they are not.
-- KEYS: 1 history record, 2 head, 3 log
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 candidate epoch
-- Returns {epoch, offset}
--include clock
--include sealed
--include fence
--include head

local history = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused()
end
local epoch, offset = opened(KEYS[2], KEYS[3], history, ARGV[3])
return {epoch, offset}

#!lua flags=allow-oom
-- Puts an entry on the bus that is told once and kept nowhere else: a control message, or that somebody types.
-- KEYS: 1 history record, 2 bus
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 bus bytes, 5 memory percent,
--       6 header (type and channel), 7 fragment
-- Returns the entry's id; nil for typing while memory is short
--include clock
--include sealed
--include replication
--include fence
--include memory

local history, full = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused(KEYS[1])
end
if full and string.sub(ARGV[6], 1, 2) == 't ' then
  return nil
end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '0-*', 'h', ARGV[6], 'd', ARGV[7])
count(KEYS[1], KEYS[2], ARGV[4], ARGV[5], #ARGV[7], id)
return id

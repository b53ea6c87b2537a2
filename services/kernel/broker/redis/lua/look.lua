#!lua flags=no-writes
-- Where a channel's head is, and what is missing since the lowest position asked for that the log can serve.
-- KEYS: 1 history record, 2 head, 3 log, 4 bus
-- ARGV: 1 trusted restart (0/1), 2 entries at most, 3 bytes at most, 4 newest N to reach back over,
--       5 readers of another epoch go on where this one began (0/1), then pairs: epoch, offset of each reader
-- Returns {history, last bus id, epoch, offset, began, start, entries}, or 0 when record or head do not match.
-- On a replica the role does not match: its answer would be late, and nobody could tell.
--include clock
--include sealed
--include fence
--include page

local history = matching(KEYS[1], ARGV[1])
if not history then
  return 0
end
local head = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'began', 'history')
if head[4] ~= history then
  return 0
end
local newest = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
local bus = newest and newest[1] or '0-0'

-- The log's entries are contiguous and end at the head, so its length tells where it begins.
local offset = tonumber(head[2])
local oldest = offset - redis.call('XLEN', KEYS[3])
local start = offset
if ARGV[4] ~= '0' then
  start = math.max(oldest, offset - tonumber(ARGV[4]))
end
for i = 6, #ARGV, 2 do
  local since = tonumber(ARGV[i + 1])
  if ARGV[i] == head[1] then
    start = since >= oldest and math.min(since, start) or start
  elseif ARGV[5] == '1' then
    start = math.min(math.max(tonumber(head[3]), oldest), start)
  end
end
local entries = {}
if start < offset then
  local from = string.format('(%.0f-0', start)
  entries = page(KEYS[3], 'XRANGE', from, '+', tonumber(ARGV[2]), tonumber(ARGV[3]))
end
return {history, bus, head[1], head[2], head[3], string.format('%.0f', start), entries}

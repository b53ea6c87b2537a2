-- Included by other scripts, behind page: what is missing since the lowest position asked for that a channel's log can serve.

-- Reads what `head` {epoch, offset, began} and ARGV from `first` on ask for: entries at most, bytes at most, newest N to reach
-- back over, readers of another epoch go on where this one began (0/1), then pairs: epoch, offset of each reader.
-- Returns {history, last bus id, epoch, offset, began, start, entries}
local function seek(history, head, log, bus, first)
  local newest = redis.call('XREVRANGE', bus, '+', '-', 'COUNT', 1)[1]
  local last = newest and newest[1] or '0-0'

  -- The log's entries are contiguous and end at the head, so its length tells where it begins.
  local offset = tonumber(head[2])
  local oldest = offset - redis.call('XLEN', log)
  local start = offset
  if ARGV[first + 2] ~= '0' then
    start = math.max(oldest, offset - tonumber(ARGV[first + 2]))
  end
  for i = first + 4, #ARGV, 2 do
    local since = tonumber(ARGV[i + 1])
    if ARGV[i] == head[1] then
      start = since >= oldest and math.min(since, start) or start
    elseif ARGV[first + 3] == '1' then
      start = math.min(math.max(tonumber(head[3]), oldest), start)
    end
  end
  local entries = {}
  if start < offset then
    local from = string.format('(%.0f-0', start)
    entries = page(log, 'XRANGE', from, '+', tonumber(ARGV[first]), tonumber(ARGV[first + 1]))
  end
  return {history, last, head[1], head[2], head[3], string.format('%.0f', start), entries}
end

-- Included by other scripts: a log that is bounded by bytes.
--
-- The first entry that a call stores in a log has a field `b`: the bytes that were ever stored there before it. The entries
-- behind it up to the next such are counted by themselves: a call stores few.

-- Entries that are read at most to find a `b`. An older version writes none.
local FAR = 128

-- Removes the oldest entries until what is left has at most `most` bytes, or is the newest entry alone. `total` were ever
-- stored. Returns how many of them came before what is left. Reads what it removes, and little more.
local function fit(log, total, most)
  local ids, sizes, read, left = {}, {}, 0, nil
  local from, part = '-', 1
  repeat
    local found = redis.call('XRANGE', log, from, '+', 'COUNT', part)
    for _, entry in ipairs(found) do
      local fields = entry[2]
      if not left and fields[8] then
        left = total - tonumber(fields[8]) + read
      end
      ids[#ids + 1], sizes[#sizes + 1] = entry[1], #fields[4] + #fields[6]
      read = read + sizes[#sizes]
      from = '(' .. entry[1]
    end
    if #found < part then
      left = left or read
      break
    end
    if not left and #ids >= FAR then
      return total
    end
    part = math.min(2 * part, 64)
  until left and left - read <= most
  local gone = 0
  while left > most and ids[gone + 1] and left > sizes[gone + 1] do
    gone = gone + 1
    left = left - sizes[gone]
  end
  if gone > 0 then
    local offset = tonumber(string.match(ids[gone], '^%d+'))
    redis.call('XTRIM', log, 'MINID', '=', string.format('%d-0', offset + 1))
  end
  return total - left
end

-- Included by other scripts: a page of a log, bounded by number and by bytes.

-- Entries of `log` in the order of `command` (XRANGE or XREVRANGE) from `from` to `to`, at most `limit` entries and
-- `budget` bytes of data, but one at least. Read in small parts, so that large messages are not copied to be cut off.
local function page(log, command, from, to, limit, budget)
  local entries, bytes, part = {}, 0, 8
  while #entries < limit do
    local asked = math.min(part, limit - #entries)
    local found = redis.call(command, log, from, to, 'COUNT', asked)
    for _, entry in ipairs(found) do
      bytes = bytes + #entry[2][4]
      if bytes > budget and #entries > 0 then
        return entries, true
      end
      entries[#entries + 1] = entry
    end
    if #found < asked then
      return entries, false
    end
    from = '(' .. found[#found][1]
    part = math.max(1, math.min(64, math.floor((budget - bytes) * #entries / (bytes + 1))))
  end
  return entries, true
end

#!lua flags=no-writes
-- A page of a channel's history in either direction.
-- KEYS: 1 history record, 2 head, 3 log
-- ARGV: 1 trusted restart (0/1), 2 entries at most, 3 bytes at most, 4 reverse (0/1), 5 since epoch or '', 6 since offset
-- Returns {epoch, offset, state, entries, more}; state 0 a page, 2 `since` is of another epoch; or 0: open first.
--include clock
--include sealed
--include replication
--include fence
--include page

local history = matching(KEYS[1], ARGV[1])
if not history then
  return 0
end
local head = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'history')
if head[3] ~= history then
  return 0
end
if ARGV[5] ~= '' and ARGV[5] ~= head[1] then
  return {head[1], head[2], 2, {}, 0}
end
local limit, budget = tonumber(ARGV[2]), tonumber(ARGV[3])
local entries, cut = {}, false
if ARGV[4] == '0' then
  local from = ARGV[5] ~= '' and '(' .. ARGV[6] .. '-0' or '-'
  entries, cut = page(KEYS[3], 'XRANGE', from, '+', limit, budget)
  cut = cut and #redis.call('XRANGE', KEYS[3], '(' .. entries[#entries][1], '+', 'COUNT', 1) > 0
elseif ARGV[5] == '' or ARGV[6] ~= '0' then -- nothing is before 0, and Redis refuses that range
  local from = ARGV[5] ~= '' and '(' .. ARGV[6] .. '-0' or '+'
  entries, cut = page(KEYS[3], 'XREVRANGE', from, '-', limit, budget)
  cut = cut and #redis.call('XREVRANGE', KEYS[3], '(' .. entries[#entries][1], '-', 'COUNT', 1) > 0
end
return {head[1], head[2], 0, entries, cut and 1 or 0}

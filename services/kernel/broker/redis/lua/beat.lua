#!lua flags=allow-oom
-- Renews an incarnation's lease, puts the canary on the bus, and sees whether memory is short.
-- KEYS: 1 history record, 2 bus, 3 leases, 4 ending, 5 nodes, 6 grace, 7 lease histories
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 bus bytes, 5 memory percent, 6 incarnation,
--       7 the node's JSON object, 8 lease ttl ms, 9 first beat of this incarnation (0/1), 10 the incarnation before it or '',
--       last: seconds that the bus keeps entries
-- Returns {history, bus id, lost (0/1), expired incarnations, full (0/1)}
--include clock
--include sealed
--include fence
--include lease
--include living
--include memory

local history = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused()
end
local now, ttl, incarnation = clock(), tonumber(ARGV[8]), ARGV[6]

-- A clock that was set back would let dead leases live on: what lies ahead of now counts as beaten now.
for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. now, '+inf')) do
  redis.call('ZADD', KEYS[3], now, other)
end
if away(KEYS[3], now, ttl) then
  redis.call('SET', KEYS[6], '1', 'PX', ttl)
end

-- Another history may lack members that this incarnation entered: it must enter them again, under a new name.
local held = redis.call('HGET', KEYS[7], incarnation)
local lost = redis.call('SISMEMBER', KEYS[4], incarnation) == 1
  or (held and held ~= history)
  or (not held and ARGV[9] == '0')
if not lost then
  redis.call('ZADD', KEYS[3], now, incarnation)
  redis.call('HSET', KEYS[7], incarnation, history)
  redis.call('HSET', KEYS[5], incarnation, ARGV[7])
end
-- The life before this one is over, but its members are still being entered again: it counts no more, and its lease goes on.
if ARGV[10] ~= '' and has_lease(KEYS[3], ARGV[10]) then
  redis.call('ZADD', KEYS[3], now - ttl / 2 - 1, ARGV[10])
end
note_quiet(KEYS[1], KEYS[3], now, ttl)

local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '0-*',
  'h', 'b', 'd', string.format('"node":%s,"at":%.0f', cjson.encode(incarnation), now))
local expired = redis.call('SMEMBERS', KEYS[4])
if redis.call('EXISTS', KEYS[6]) == 0 then
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(0', '(' .. (now - ttl))) do
    expired[#expired + 1] = other
  end
end
age(KEYS[2], ARGV[#ARGV], now, id)
local full = measure(KEYS[1], KEYS[2], ARGV[4], ARGV[5])
return {history, id, lost and 1 or 0, expired, full and 1 or 0}

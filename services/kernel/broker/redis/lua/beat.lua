#!lua flags=allow-oom
-- Renews an incarnation's lease, puts a canary on the bus where the last one is old, and then sees whether memory is short.
-- Each gateway calls it each second in each partition: what is needed only while somebody is quiet is asked only then.
-- KEYS: 1 history record, 2 bus, 3 leases, 4 ending, 5 nodes, 6 grace, 7 lease histories
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 bus bytes, 5 memory percent, 6 incarnation,
--       7 the node's JSON object, 8 lease ttl ms, 9 first beat of this incarnation (0/1), 10 the incarnation before it or '',
--       11 a canary in any case (0/1), 12 age in ms from which the last one is old, last: seconds that the bus keeps entries
-- Returns {history, last bus id, lost (0/1), expired incarnations, full (0/1), ms of this clock}
--include clock
--include sealed
--include replication
--include fence
--include lease
--include living
--include memory

local history, full, quiet_before = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused()
end
local now, ttl, incarnation = clock(), tonumber(ARGV[8]), ARGV[6]

-- A clock that was set back would let dead leases live on: what lies ahead of now counts as beaten now.
local last = last_beat(KEYS[3])
if last > now then
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. now, '+inf')) do
    redis.call('ZADD', KEYS[3], now, other)
  end
end
if away(last, now, ttl) then
  redis.call('SET', KEYS[6], '1', 'PX', ttl)
end

-- Another history may lack members that this incarnation entered: it must enter them again, under a new name. Whose lease has
-- ended is among the quiet.
local some_quiet = any_quiet(KEYS[3], now, ttl)
local held = redis.call('HGET', KEYS[7], incarnation)
local lost = (some_quiet and redis.call('SISMEMBER', KEYS[4], incarnation) == 1)
  or (held and held ~= history)
  or (not held and ARGV[9] == '0')
if not lost then
  redis.call('ZADD', KEYS[3], now, incarnation)
  redis.call('HSET', KEYS[5], incarnation, ARGV[7])
  if not held then
    redis.call('HSET', KEYS[7], incarnation, history)
  end
end
-- The life before this one is over, but its members are still being entered again: it counts no more, and its lease goes on.
if ARGV[10] ~= '' and has_lease(KEYS[3], ARGV[10]) then
  redis.call('ZADD', KEYS[3], now - ttl / 2 - 1, ARGV[10])
  some_quiet = true
end
if some_quiet then
  some_quiet = any_quiet(KEYS[3], now, ttl)  -- this one may have been
end
note_quiet(KEYS[1], quiet_before, some_quiet)

local expired = {}
if some_quiet then
  expired = redis.call('SMEMBERS', KEYS[4])
  if redis.call('EXISTS', KEYS[6]) == 0 then
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(0', '(' .. (now - ttl))) do
      expired[#expired + 1] = other
    end
  end
end

-- One canary does for all: each is read by every gateway. The field `canary` of the record is when the last one came.
local came = tonumber(redis.call('HGET', KEYS[1], 'canary') or '0')
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local id = newest and newest[1]
if not id or ARGV[11] == '1' or math.abs(now - came) >= tonumber(ARGV[12]) then
  redis.call('HSET', KEYS[1], 'canary', string.format('%.0f', now))
  id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '0-*',
    'h', 'b', 'd', string.format('"node":%s,"at":%.0f', cjson.encode(incarnation), now))
  age(KEYS[2], ARGV[#ARGV], now, id)
  full = measure(KEYS[1], KEYS[2], ARGV[4], ARGV[5])
end
return {history, id, lost and 1 or 0, expired, full and 1 or 0, now}

#!lua flags=allow-oom
-- Renews an incarnation's lease, puts a canary on the bus where one is due, and then sees whether memory is short. Beats of
-- several partitions of one server may come together.
-- Each gateway calls it each second in each partition: what is needed only while somebody is quiet is asked only then.
-- KEYS: for each beat 1 history record, 2 bus, 3 leases, 4 ending, 5 nodes, 6 grace, 7 lease histories
-- ARGV: for all 1 trusted restart (0/1), 2 bus length, 3 bus bytes, 4 memory percent, 5 lease ttl ms, 6 age in ms from which the
--       last canary is old, 7 the same while nothing else comes, 8 seconds that the bus keeps entries;
--       then for each beat 1 candidate history id, 2 incarnation, 3 the node's JSON object or '', 4 first beat of this incarnation
--       (0/1), 5 the incarnation before it or '', 6 a canary in any case (0/1)
-- Returns {history, last bus id, lost (0/1), expired incarnations, full (0/1), ms of this clock}, a list of those and of errors
-- where there are several beats
--include clock
--include sealed
--include replication
--include fence
--include lease
--include living
--include memory

local COMMON, NAMES, OWN = 8, 7, 6

-- One canary does for all: each is read by every gateway. The field `canary` of the record is when the last one came, which it
-- tells itself as well. While it is the newest entry nobody waits to read one, and the next is due later; but not while
-- messages are refused, as memory is measured with it.
local function is_due(record, newest, anyhow, full, now)
  if not newest or anyhow == '1' then
    return true
  end
  local fields, age = newest[2], ARGV[6]
  local came = fields[2] == 'b' and string.match(fields[4], '"at":(%d+)$')
  if came and not full then
    age = ARGV[7]
  end
  came = came or redis.call('HGET', record, 'canary') or '0'
  return math.abs(now - tonumber(came)) >= tonumber(age)
end

-- The incarnations that have ended.
local function ended(leases, ending, grace, now, ttl)
  local expired = redis.call('SMEMBERS', ending)
  if redis.call('EXISTS', grace) == 0 then
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', leases, '(0', '(' .. (now - ttl))) do
      expired[#expired + 1] = other
    end
  end
  return expired
end

local function beat(place)
  local record, bus, leases, ending, nodes, grace, births = unpack(KEYS, place * NAMES + 1, (place + 1) * NAMES)
  local own = COMMON + place * OWN
  local candidate, incarnation, node, first, former, anyhow = unpack(ARGV, own + 1, own + OWN)
  local history, full, quiet_before = fence(record, candidate, ARGV[1])
  if not history then
    return refused(record)
  end
  local now, ttl = clock(), tonumber(ARGV[5])

  -- A clock that was set back would let dead leases live on: what lies ahead of now counts as beaten now.
  local last = last_beat(leases)
  if last > now then
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. now, '+inf')) do
      redis.call('ZADD', leases, now, other)
    end
  end
  if away(last, now, ttl) then
    redis.call('SET', grace, '1', 'PX', ttl)
  end

  -- Another history may lack members that this incarnation entered: it must enter them again, under a new name. Whose lease
  -- has ended is among the quiet.
  local some_quiet = any_quiet(leases, now, ttl)
  local held = redis.call('HGET', births, incarnation)
  local lost = (some_quiet and redis.call('SISMEMBER', ending, incarnation) == 1)
    or (held and held ~= history)
    or (not held and first == '0')
  if not lost then
    redis.call('ZADD', leases, now, incarnation)
    if node ~= '' then
      redis.call('HSET', nodes, incarnation, node)
    end
    if not held then
      redis.call('HSET', births, incarnation, history)
    end
  end
  -- The life before this one is over, but its members are still being entered again: it counts no more, and its lease goes on.
  if former ~= '' and has_lease(leases, former) then
    redis.call('ZADD', leases, now - ttl / 2 - 1, former)
    some_quiet = true
  end
  if some_quiet then
    some_quiet = any_quiet(leases, now, ttl)  -- this one may have been
  end
  note_quiet(record, quiet_before, some_quiet)
  local expired = some_quiet and ended(leases, ending, grace, now, ttl) or {}

  local newest = redis.call('XREVRANGE', bus, '+', '-', 'COUNT', 1)[1]
  local id = newest and newest[1]
  if is_due(record, newest, anyhow, full, now) then
    redis.call('HSET', record, 'canary', string.format('%.0f', now))
    id = redis.call('XADD', bus, 'MAXLEN', '~', ARGV[2], '0-*',
      'h', 'b', 'd', string.format('"node":%s,"at":%.0f', cjson.encode(incarnation), now))
    age(bus, ARGV[8], now, id)
    full = measure(record, bus, ARGV[3], ARGV[4])
  end
  return {history, id, lost and 1 or 0, expired, full and 1 or 0, now}
end

local beats = (#ARGV - COMMON) / OWN  -- in a cluster there is a further key (redirects.py)
if beats == 1 then
  return beat(0)
end
local answers = {}
for place = 0, beats - 1 do
  answers[place + 1] = beat(place)
end
return answers

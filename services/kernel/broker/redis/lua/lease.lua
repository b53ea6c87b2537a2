-- Included by other scripts, behind clock: leases of incarnations, judged by the server's own clock.
--
-- `leases` is a ZSET incarnation -> ms of its last beat, 0 once the lease has ended. `ending` is a set of incarnations whose
-- lease has ended and whose members are being let go.

-- When somebody has last beaten; 0 when nobody has a lease.
local function last_beat(leases)
  return tonumber(redis.call('ZREVRANGE', leases, 0, 0, 'WITHSCORES')[2] or '0')
end

-- Whether nobody has beaten for a while: then the server itself was away, or its clock has jumped, and no lease has ended
-- before its holder had a chance to renew it.
local function away(last, now, ttl)
  return last ~= 0 and now - last > ttl / 3
end

-- Whether an incarnation may enter members and set numbers.
local function has_lease(leases, incarnation)
  local beaten = redis.call('ZSCORE', leases, incarnation)
  return beaten and beaten ~= '0'
end

-- From now on nobody may enter by this incarnation, and its members may be let go.
local function claim(record, leases, ending, nodes, incarnation)
  redis.call('HSET', record, 'quiet', '1')
  redis.call('ZADD', leases, 0, incarnation)
  redis.call('HDEL', nodes, incarnation)
  redis.call('SADD', ending, incarnation)
end

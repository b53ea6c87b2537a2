#!lua flags=allow-oom
-- Lets some of a dead incarnation's members leave and takes some of its listeners away. What it pops it finishes, so it
-- may be called by many, again and again, and stops nobody for long.
-- KEYS: 1 history record, 2 bus, 3 leases, 4 ending, 5 nodes, 6 grace, 7 lease histories,
--       8 the incarnation's members, 9 the incarnation's listened channels, 10 channels
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 incarnation, 5 lease ttl ms, 6 how many,
--       7-11 key prefixes: members, order, users, lingering, listeners
-- Returns 1 while there is more, else 0
--include clock
--include sealed
--include replication
--include fence
--include lease
--include presence

if not fence(KEYS[1], ARGV[1], ARGV[2]) then
  return refused(KEYS[1])
end
local incarnation, most = ARGV[4], tonumber(ARGV[6])
if redis.call('SISMEMBER', KEYS[4], incarnation) == 0 then
  local now, ttl = clock(), tonumber(ARGV[5])
  local beaten = redis.call('ZSCORE', KEYS[3], incarnation)
  if not beaten or beaten == '0' or now - tonumber(beaten) <= ttl or redis.call('EXISTS', KEYS[6]) == 1 or away(last_beat(KEYS[3]), now, ttl) then
    return 0
  end
  claim(KEYS[1], KEYS[3], KEYS[4], KEYS[5], incarnation)
end

local left = redis.call('SPOP', KEYS[8], most)
for _, pair in ipairs(left) do
  local channel, connection = string.match(pair, '^(%S+) (.*)$')
  local keys = {
    members = ARGV[7] .. channel, order = ARGV[8] .. channel, users = ARGV[9] .. channel,
    lingering = ARGV[10] .. channel, bus = KEYS[2],
  }
  local member = found(keys, connection)
  if member and member[1] == incarnation then
    take(keys, connection, member)
    if member[2] == '1' then
      announce_leave(keys, ARGV[3], channel, connection, member[4])
    end
  end
end
local heard = redis.call('SPOP', KEYS[9], most)
for _, channel in ipairs(heard) do
  redis.call('HDEL', ARGV[11] .. channel, incarnation)
  if redis.call('EXISTS', ARGV[11] .. channel) == 0 then
    redis.call('ZREM', KEYS[10], channel)
  end
end
if #left == most or #heard == most then
  return 1
end
redis.call('ZREM', KEYS[3], incarnation)
redis.call('SREM', KEYS[4], incarnation)
redis.call('HDEL', KEYS[7], incarnation)
return 0

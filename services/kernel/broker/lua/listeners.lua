#!lua
-- Sets how many subscribers a node has in each of these channels; 0 takes the node away from a channel.
-- KEYS: 1 leases, 2 channels, 3 the incarnation's listened channels, then the listeners of each channel
-- ARGV: 1 incarnation, then pairs for those keys: channel, number
-- Returns 1, or 0 when the incarnation has no lease: nobody would take its numbers away.

local incarnation = ARGV[1]
if not redis.call('ZSCORE', KEYS[1], incarnation) then
  return 0
end
for i = 4, #KEYS do
  local channel, number = ARGV[2 * i - 6], ARGV[2 * i - 5]
  if number == '0' then
    redis.call('HDEL', KEYS[i], incarnation)
    redis.call('SREM', KEYS[3], channel)
    if redis.call('EXISTS', KEYS[i]) == 0 then
      redis.call('ZREM', KEYS[2], channel)
    end
  else
    redis.call('HSET', KEYS[i], incarnation, number)
    redis.call('SADD', KEYS[3], channel)
    redis.call('ZADD', KEYS[2], 0, channel)
  end
end
return 1

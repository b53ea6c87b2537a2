#!lua flags=allow-oom
-- Sets how many subscribers a node has in each of these channels; 0 takes the node away from a channel.
-- Keeps the heads of channels with subscribers alive: when a head goes, they are told to start anew.
-- KEYS: 1 history record, 2 leases, 3 channels, 4 the incarnation's listened channels, then of each channel: listeners, head
-- ARGV: 1 incarnation, then pairs for those keys: channel, number
-- Returns 1, or 0 when the incarnation has no lease: nobody would take its numbers away.
--include head
--include clock
--include sealed
--include lease

if stands(redis.call('HGET', KEYS[1], 'seal_until')) then
  return sealed()
end

local incarnation = ARGV[1]
if not has_lease(KEYS[2], incarnation) then
  return 0
end
for i = 5, #KEYS, 2 do
  local channel, number = ARGV[i - 3], ARGV[i - 2]
  if number == '0' then
    redis.call('HDEL', KEYS[i], incarnation)
    redis.call('SREM', KEYS[4], channel)
    if redis.call('EXISTS', KEYS[i]) == 0 then
      redis.call('ZREM', KEYS[3], channel)
    end
  else
    redis.call('HSET', KEYS[i], incarnation, number)
    redis.call('SADD', KEYS[4], channel)
    redis.call('ZADD', KEYS[3], 0, channel)
    local left = redis.call('PTTL', KEYS[i + 1]) -- negative: there is none
    if left >= 0 and left < UNPUBLISHED_TTL / 2 then
      redis.call('PEXPIRE', KEYS[i + 1], UNPUBLISHED_TTL)
    end
  end
end
return 1

#!lua flags=allow-oom
-- Sets how many subscribers a node has in each of these channels; 0 takes the node away from a channel.
-- Keeps the heads of channels with subscribers alive: when a head goes, they are told to start anew.
-- Counts over the fleet in the same step: of two nodes that tell at the same time, the later one sees both.
-- KEYS: 1 history record, 2 leases, 3 channels, 4 the incarnation's listened channels, then of each channel: listeners, head
-- ARGV: 1 incarnation, 2 lease ttl ms, then for those keys: channel, number, whether to count (1 or 0)
-- Returns the fleet's number for each that is counted, or nil when the incarnation has no lease: nobody would take its numbers away.
--include head
--include clock
--include sealed
--include lease
--include living

if stands(redis.call('HGET', KEYS[1], 'seal_until')) then
  return sealed(KEYS[1])
end

local incarnation = ARGV[1]
if not has_lease(KEYS[2], incarnation) then
  return nil
end
local counted, without = {}, nil
for i = 5, #KEYS, 2 do
  local at = 3 * (i - 3) / 2
  local channel, number, wanted = ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1'
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
  if wanted then
    if #counted == 0 then
      without = quiet(KEYS[2], tonumber(ARGV[2]))
    end
    counted[#counted + 1] = subscribers(KEYS[i], without)
  end
end
return counted

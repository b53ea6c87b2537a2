#!lua flags=allow-oom
-- Takes from token buckets that fill at `rate` up to `burst`; a bucket is a hash {left, at} that goes when full.
-- KEYS: the buckets
-- ARGV: 1 rate a second, 2 burst, then what to take from each
-- Returns what each has left (text), negative when overdrawn; never below -burst, so that a wait has an end
--include clock
--include lease

local now, rate, burst = clock(), tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = {}
for i, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'left', 'at')
  local left = burst
  if found[1] then
    local elapsed = math.max(0, now - tonumber(found[2])) / 1000
    left = math.min(burst, tonumber(found[1]) + elapsed * rate)
  end
  left = math.max(-burst, left - tonumber(ARGV[i + 2]))
  redis.call('HSET', key, 'left', string.format('%.6f', left), 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', key, math.max(1, math.ceil((burst - left) / rate * 1000)))
  answer[i] = string.format('%.6f', left)
end
return answer

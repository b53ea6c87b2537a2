#!lua flags=no-writes
-- What the living nodes told of themselves.
-- KEYS: 1 leases, 2 nodes
-- ARGV: 1 lease ttl ms
-- Returns a list of JSON objects
--include clock
--include lease

local living = redis.call('ZRANGEBYSCORE', KEYS[1], clock() - tonumber(ARGV[1]), '+inf')
if #living == 0 then
  return {}
end
local told = {}
for _, node in ipairs(redis.call('HMGET', KEYS[2], unpack(living))) do
  if node then
    told[#told + 1] = node
  end
end
return told

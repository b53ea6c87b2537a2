#!lua flags=no-writes
-- How many connections are subscribed to channels over the fleet.
-- KEYS: 1 leases, then the listeners of each channel
-- ARGV: 1 lease ttl ms
-- Returns a number for each channel
--include clock
--include lease
--include living

local without = quiet(KEYS[1], tonumber(ARGV[1]))
local counts = {}
for i = 2, #KEYS do
  counts[i - 1] = subscribers(KEYS[i], without)
end
return counts

#!lua flags=allow-oom
-- Ends a lease at once.
-- KEYS: 1 leases, 2 ending, 3 nodes, 4 history record
-- ARGV: 1 incarnation
-- Returns 1
--include clock
--include lease

if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  claim(KEYS[4], KEYS[1], KEYS[2], KEYS[3], ARGV[1])
end
return 1

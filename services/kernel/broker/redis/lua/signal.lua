#!lua
-- Puts an entry on the bus that is told once and kept nowhere else: a control message, or that somebody types.
-- KEYS: 1 history record, 2 bus
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 header (type and channel), 5 fragment
-- Returns the entry's id
--include fence

if not fence(KEYS[1], ARGV[1], ARGV[2]) then
  return not_master()
end
return redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '0-*', 'h', ARGV[4], 'd', ARGV[5])

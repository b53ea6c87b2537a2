#!lua flags=allow-oom
-- Begins a handover: from now on writing scripts are refused, and readers go on, until it is unsealed or the time is over.
-- KEYS: 1 history record
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 the handover's secret name, 4 ms for which it stands
-- Returns the history id
--include clock
--include sealed
--include replication
--include fence

-- A record of another replication id gets its new id first: what may be lost already must not be handed on.
local history = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused(KEYS[1])
end
redis.call('HSET', KEYS[1], 'seal', ARGV[3], 'seal_until', string.format('%.0f', clock() + ARGV[4]))
return history

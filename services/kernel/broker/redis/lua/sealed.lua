-- Included by other scripts, behind clock: whether a partition is being handed over.
--
-- Meanwhile the history record has the fields `seal`, the name of the handover, and `seal_until`, ms of the server's clock
-- at which it is over. What has the seal has all that was written before it: replicas and files keep the order. Writers are
-- refused, so what was read stays true; readers go on, also where the record speaks of another replication id.
--
-- Where the partition has moved to another server (moving.py) the record is {seal_until: moved} for ever: it answers nobody.

-- Milliseconds that a seal may stand. One that lies further ahead is of a clock that was set back: it is over.
local LONGEST_SEAL = 60000

local function stands(seal_until)
  if not seal_until then
    return false
  end
  if seal_until == 'moved' then
    return true
  end
  local left = tonumber(seal_until) - clock()
  return left > 0 and left <= LONGEST_SEAL
end

local function sealed(record)
  if redis.call('HGET', record, 'seal_until') == 'moved' then
    return redis.error_reply('RELOCATED this partition has moved to another server')
  end
  return redis.error_reply('SEALED this partition is being handed over')
end

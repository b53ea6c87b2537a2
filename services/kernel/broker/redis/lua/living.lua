-- Included by other scripts, behind lease: whose connections count.
--
-- The history record has a field `quiet` while there are quiet incarnations: each publish reads the record anyway, and need
-- not look for them. Heartbeats keep it right.

-- The incarnations that have not beaten for half a lease, by name; nil when there are none. Their lease has not ended, but
-- their connections most likely have, and a client that has come back elsewhere would be counted twice.
local function quiet(leases, ttl)
  local found = redis.call('ZRANGEBYSCORE', leases, '-inf', '(' .. (clock() - ttl / 2))
  if #found == 0 then
    return nil
  end
  local names = {}
  for _, incarnation in ipairs(found) do
    names[incarnation] = true
  end
  return names
end

-- Whether there are any, and who has ended counts too.
local function any_quiet(leases, now, ttl)
  return redis.call('ZCOUNT', leases, '-inf', '(' .. (now - ttl / 2)) > 0
end

-- Keeps that field, which was `before`.
local function note_quiet(record, before, are)
  if are and not before then
    redis.call('HSET', record, 'quiet', '1')
  elseif before and not are then
    redis.call('HDEL', record, 'quiet')
  end
end

-- Connections that a channel has over the fleet, without those of quiet incarnations.
local function subscribers(listeners, without)
  local total = 0
  if not without then
    for _, connections in ipairs(redis.call('HVALS', listeners)) do
      total = total + tonumber(connections)
    end
    return total
  end
  local found = redis.call('HGETALL', listeners)
  for i = 1, #found, 2 do
    if not without[found[i]] then
      total = total + tonumber(found[i + 1])
    end
  end
  return total
end

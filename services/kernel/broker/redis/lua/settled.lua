-- Included by other scripts, behind replication: whether there is nothing to decide about the history record (fence.lua).

-- The history id if the record was made under the present replication id of this master, messages are not refused
-- (memory.lua), no incarnation is quiet (living.lua) and nothing is sealed (sealed.lua); else nil. Writes nothing.
local function settled(key)
  local record = redis.call('HMGET', key, 'id', 'replid', 'full', 'quiet', 'seal_until')
  if not record[1] or not record[2] or record[3] or record[4] or record[5] then
    return nil
  end
  local master, info = replication()
  return master and current(record, info) and record[1] or nil
end

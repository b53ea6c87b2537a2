-- Included by other scripts, behind clock, sealed and replication: the history record, which tells one life of the data from the next.
--
-- The record is a hash {id, replid}. `master_replid` changes on restart, promotion and whenever acknowledged writes may
-- have been lost; a record made under another one therefore speaks of a history that may have lost its newest part.

-- The history id if the record matches this server, or if what is there was sealed and nothing came after; else nil. Writes
-- nothing.
local function matching(key, trusted)
  local master, info = replication()
  local record = redis.call('HMGET', key, 'id', 'replid', 'seal_until')
  if master and record[1] and (current(record, info) or trusted == '1' or stands(record[3])) then
    return record[1]
  end
  return nil
end

-- The history id, replaced by `candidate` where the record does not match, whether messages are refused (memory.lua) and
-- whether incarnations are quiet (living.lua). nil while the partition is sealed, and on a server that is not the master (a
-- replica may be writable by configuration, and what it takes is lost): `refused` says which.
--
-- A seal whose time is over ends here, with a new id: this may be the former master of a partition that another server
-- serves by now, under the old id.
local function fence(key, candidate, trusted)
  local master, info = replication()
  if not master then
    return nil
  end
  local record = redis.call('HMGET', key, 'id', 'replid', 'full', 'quiet', 'seal_until')
  local seal_until = record[5]
  if not seal_until and record[1] and current(record, info) then
    return record[1], record[3], record[4]
  end
  if stands(seal_until) then
    return nil
  end
  local replid = string.match(info, 'master_replid:(%x+)')
  if not seal_until and record[1] and trusted == '1' then
    redis.call('HSET', key, 'replid', replid)
    return record[1], record[3], record[4]
  end
  if seal_until then
    redis.call('HDEL', key, 'seal', 'seal_until')
  end
  redis.call('HSET', key, 'id', candidate, 'replid', replid)
  return candidate, record[3], record[4]
end

-- The answer of a script that was not let through, whose history record this is.
local function refused(record)
  if replication() then
    return sealed(record)
  end
  return redis.error_reply('READONLY this server is not the master')
end

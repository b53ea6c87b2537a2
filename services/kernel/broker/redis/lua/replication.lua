-- Included by other scripts: what this server says of its replication.

-- Whether this server is the master, and what it tells of its replication.
local told
local function replication()
  local info = told or redis.call('INFO', 'replication')
  told = info
  return string.find(info, 'role:master', 1, true) ~= nil, info
end

-- Whether the record was made under the present replication id. A plain search, since each publish makes it.
local function current(record, info)
  return record[2] and string.find(info, 'master_replid:' .. record[2], 1, true) ~= nil
end

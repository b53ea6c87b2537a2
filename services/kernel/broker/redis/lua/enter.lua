#!lua flags=allow-oom
-- A connection becomes present in a channel.
-- KEYS: 1 history record, 2 bus, 3 leases, 4 the incarnation's members, 5 members, 6 order, 7 users, 8 lingering
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 incarnation, 5 channel, 6 connection,
--       7 anonymous (0/1), 8 user, 9 info, 10 since ms, 11 announce (0/1), 12 prefix of incarnations' members,
--       13 the connection that the client had before, 14 which anonymous client it is; either may be empty,
--       15 bytes of info that a join tells at most, 16 members up to which it is told
-- Returns {count, users, the connection whose place was taken or nothing}, or 0 when the incarnation has no lease:
-- nobody would let its members leave.
--include clock
--include sealed
--include replication
--include fence
--include lease
--include presence

if not fence(KEYS[1], ARGV[1], ARGV[2]) then
  return refused(KEYS[1])
end
if not has_lease(KEYS[3], ARGV[4]) then
  return 0
end
local keys = {members = KEYS[5], order = KEYS[6], users = KEYS[7], lingering = KEYS[8], bus = KEYS[2]}
local channel, connection = ARGV[5], ARGV[6]
local user = ARGV[7] == '0' and ARGV[8]
local client = ARGV[14] ~= '' and ARGV[14]

-- The newcomer's own former connection, if it proves to be that; else the first of its user that lingers.
local function place()
  local former = ARGV[13]
  local member = former ~= '' and found(keys, former)
  if member and (member[4] or member[6]) and member[4] == user and (user or member[6] == client) then
    return former, member
  end
  if user then
    local first = redis.call('ZRANGEBYLEX', keys.lingering, '[' .. user .. '\0', '(' .. user .. '\1', 'LIMIT', 0, 1)[1]
    if first then
      former = string.sub(first, #user + 2)
      return former, found(keys, former)
    end
  end
end

local silent, taken = found(keys, connection), ''
if silent then
  take(keys, connection, silent)
else
  local former, member = place()
  if member then
    redis.call('SREM', ARGV[12] .. member[1], channel .. ' ' .. former)
    take(keys, former, member)
    silent, taken = true, former
  end
end
local member = {ARGV[4], ARGV[11], ARGV[10], user, ARGV[9]}
if client then
  member[6] = client
end
put(keys, connection, member)
redis.call('SADD', KEYS[4], channel .. ' ' .. connection)
if not silent and ARGV[11] == '1' then
  local shown = #ARGV[9] <= tonumber(ARGV[15]) and redis.call('HLEN', keys.members) <= tonumber(ARGV[16])
  announce_join(keys, ARGV[3], channel, connection, user, shown and ARGV[9] or '')
end
local count, users = counts(keys)
return {count, users, taken}

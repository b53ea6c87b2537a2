#!lua flags=allow-oom
-- A connection leaves a channel, or is marked as lingering there.
-- KEYS: 1 history record, 2 bus, 3 the incarnation's members, 4 members, 5 order, 6 users, 7 lingering
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 incarnation, 5 channel, 6 connection,
--       7 announce (0/1), 8 linger (0/1)
-- Returns 1 if it was there, else 0
--include clock
--include sealed
--include replication
--include fence
--include presence

if not fence(KEYS[1], ARGV[1], ARGV[2]) then
  return refused(KEYS[1])
end
local keys = {members = KEYS[4], order = KEYS[5], users = KEYS[6], lingering = KEYS[7], bus = KEYS[2]}
local channel, connection = ARGV[5], ARGV[6]
local member = found(keys, connection)
-- A late leave must not remove who has entered again through another incarnation.
if not member or member[1] ~= ARGV[4] then
  return 0
end
if ARGV[8] == '1' then
  if member[4] then
    redis.call('ZADD', keys.lingering, 0, member[4] .. '\0' .. connection)
  end
  return 1
end
take(keys, connection, member)
redis.call('SREM', KEYS[3], channel .. ' ' .. connection)
if ARGV[7] == '1' then
  announce_leave(keys, ARGV[3], channel, connection, member[4])
end
return 1

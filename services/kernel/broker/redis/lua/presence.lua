-- Included by other scripts: members of a channel and what is kept beside them.
--
-- A channel has a hash connection -> member (MessagePack {incarnation, announce, since, user or false, info, and which
-- client it is of an anonymous one that says so}), a ZSET of
-- the connections in the order of their names (for pages), a hash user -> connections, and a ZSET of lingering
-- members ("user NUL connection"). An incarnation has a set of "channel connection" that it must let leave.

-- Different users; each anonymous connection counts as one.
local function person(user, connection)
  return user and 'u' .. user or 'a' .. connection
end

local function put(keys, connection, member)
  redis.call('HSET', keys.members, connection, cmsgpack.pack(member))
  redis.call('ZADD', keys.order, 0, connection)
  redis.call('HINCRBY', keys.users, person(member[4], connection), 1)
end

local function take(keys, connection, member)
  redis.call('HDEL', keys.members, connection)
  redis.call('ZREM', keys.order, connection)
  local who = person(member[4], connection)
  if redis.call('HINCRBY', keys.users, who, -1) <= 0 then
    redis.call('HDEL', keys.users, who)
  end
  if member[4] then
    redis.call('ZREM', keys.lingering, member[4] .. '\0' .. connection)
  end
end

local function found(keys, connection)
  local packed = redis.call('HGET', keys.members, connection)
  return packed and cmsgpack.unpack(packed)
end

local function counts(keys)
  return redis.call('HLEN', keys.members), redis.call('HLEN', keys.users)
end

-- Tells the channel's subscribers: `kind` is j or l, `more` the rest of the fields, each behind a comma.
local function announce(keys, length, kind, channel, connection, user, more)
  local count, users = counts(keys)
  local fragment = string.format('"user":%s,"connection":%s,"count":%d,"users":%d',
    user and cjson.encode(user) or 'null', cjson.encode(connection), count, users) .. more
  redis.call('XADD', keys.bus, 'MAXLEN', '~', length, '0-*', 'h', kind .. ' ' .. channel, 'd', fragment)
end

-- Whether a user has so many connections here.
local function has(keys, connection, user, connections)
  return tonumber(redis.call('HGET', keys.users, person(user, connection)) or 0) == connections
end

-- `info` is JSON text or empty.
local function announce_join(keys, length, channel, connection, user, info)
  local first = has(keys, connection, user, 1) and 'true' or 'false'
  local said = info ~= '' and ',"info":' .. info or ''
  announce(keys, length, 'j', channel, connection, user, ',"first":' .. first .. said)
end

local function announce_leave(keys, length, channel, connection, user)
  local last = has(keys, connection, user, 0) and 'true' or 'false'
  announce(keys, length, 'l', channel, connection, user, ',"last":' .. last)
end

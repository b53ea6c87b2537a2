#!lua flags=no-writes
-- A page of a channel's members in the order of their connections' names.
-- KEYS: 1 members, 2 order, 3 users
-- ARGV: 1 the connection after which to begin, or '', 2 how many at most
-- Returns {count, users, connections, members (MessagePack), more (0/1)}

local limit = tonumber(ARGV[2])
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local connections = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, limit + 1)
local more = #connections > limit
if more then
  connections[#connections] = nil
end
local members = #connections > 0 and redis.call('HMGET', KEYS[1], unpack(connections)) or {}
return {redis.call('HLEN', KEYS[1]), redis.call('HLEN', KEYS[3]), connections, members, more and 1 or 0}

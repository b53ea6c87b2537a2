#!lua
-- What publish.lua does, for what is published most: one publication that is kept, has no idempotency key and expects
-- nothing. It takes two thirds of the instructions. Where the history record is not settled it writes nothing and returns
-- nothing: publish.lua decides then.
-- KEYS: 1 history record, 2 bus, 3 head, 4 log, 5 listeners
-- ARGV: 1 bus length, 2 candidate epoch, 3 channel, 4 history size, 5 history bytes, 6 history ttl ms, 7 head ttl ms,
--       8 kind and token, 9 data, 10 meta
-- Returns epoch, offset, 0 (stored), subscribers; or nothing
-- What is put on the bus is not counted here: who calls it has publish.lua do that one time in sixteen.
--include fit
--include head
--include replication
--include settled

local call, format = redis.call, string.format
local history = settled(KEYS[1])
if not history then
  return false
end

local subscribers = 0
for _, connections in ipairs(call('HVALS', KEYS[5])) do
  subscribers = subscribers + connections
end

local size, ttl, about, data, meta = ARGV[4], tonumber(ARGV[6]), ARGV[8], ARGV[9], ARGV[10]
local epoch, before, bytes, from = opened(KEYS[3], KEYS[4], history, ARGV[2])
local offset, total = format('%d', before + 1), bytes + #data + #meta
call('XADD', KEYS[4], 'MAXLEN', '=', size, offset .. '-0', 'h', about, 'd', data, 'm', meta, 'b', format('%d', bytes))
call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '0-*',
  'h', 'm ' .. ARGV[3] .. ' ' .. epoch .. ' ' .. offset .. ' ' .. about, 'd', data, 'm', meta)
call('HSET', KEYS[3], 'offset', offset, 'bytes', format('%d', total))
if total - from > tonumber(ARGV[5]) then
  call('HSET', KEYS[3], 'from', format('%d', fit(KEYS[4], total, tonumber(ARGV[5]))))
end
local left = call('PTTL', KEYS[4])
if left < ttl or left > ttl * 1.1 then
  call('PEXPIRE', KEYS[4], format('%d', ttl * 1.1))
  call('PEXPIRE', KEYS[3], ARGV[7])
end
return {epoch, offset, 0, subscribers}

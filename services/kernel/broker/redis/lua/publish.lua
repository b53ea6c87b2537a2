#!lua
-- Appends publications to their channels' logs and to the bus in one step; ephemeral ones to the bus only.
-- KEYS: 1 history record, 2 bus, 3 leases, then of each channel: head, log, listeners; then the idempotency keys
-- ARGV: 1 candidate history id, 2 trusted restart (0/1), 3 bus length, 4 bus bytes, 5 memory percent,
--       6 candidate epoch, the channel's number is added to it, 7 idempotency ms, 8 number of channels, 9 lease ttl ms
--       then of each channel: its name, history size, history bytes, history ttl ms, head ttl ms
--       then of each publication: its channel's number, its idempotency key's (0: none), kind and token, data, meta,
--       ephemeral (0/1), expected 'epoch offset' or ''
-- Returns of each publication: epoch, offset, state, subscribers; state 0 stored, 1 duplicate, 2 conflict (nothing
-- stored); or an error in the place of its epoch, which leaves the others alone
-- No flag for writes while out of memory: Redis then refuses the script before its first line. While memory is short
-- everything is refused, so that what is left is for those that must go on.
--include clock
--include sealed
--include replication
--include fence
--include fit
--include head
--include lease
--include living
--include memory

local call, format = redis.call, string.format
local SMALL = 4096
local HEAD_ARGS, CHANNEL_ARGS, MESSAGE_ARGS = 9, 5, 7
local number_of_channels = tonumber(ARGV[8])
local keys_before_seen = 3 + 3 * number_of_channels

local history, full, some_quiet = fence(KEYS[1], ARGV[1], ARGV[2])
if not history then
  return refused(KEYS[1])
end
if full and measure(KEYS[1], KEYS[2], ARGV[4], ARGV[5]) then
  return redis.error_reply('RESERVE more than ' .. ARGV[5] .. ' % of maxmemory is used')
end

local without = some_quiet and quiet(KEYS[3], tonumber(ARGV[9]))
local channels = {}
local function channel(number)
  local key, about = 3 * number + 1, HEAD_ARGS + CHANNEL_ARGS * (number - 1)
  local found = {
    head = KEYS[key], log = KEYS[key + 1], name = ARGV[about + 1], size = ARGV[about + 2],
    most = tonumber(ARGV[about + 3]), ttl = tonumber(ARGV[about + 4]), head_ttl = ARGV[about + 5],
    candidate = ARGV[6] .. number, stored = 0, subscribers = subscribers(KEYS[key + 2], without),
  }
  channels[number] = found
  return found
end

-- Makes the head valid; from then on its offset and bytes are counted here and written at the end.
local function open(at)
  if not at.offset then
    local offset
    at.epoch, offset, at.bytes, at.from = opened(at.head, at.log, history, at.candidate)
    at.offset = tonumber(offset)
    at.prefix = 'm ' .. at.name .. ' ' .. at.epoch .. ' '
  end
end

-- The epoch of a channel that nothing is stored in: empty when its head is not of this history.
local function peek(at)
  if at.offset then
    return at.epoch
  end
  local found = call('HMGET', at.head, 'epoch', 'history')
  return found[2] == history and found[1] or ''
end

local bytes, newest = 0, nil
local function put(header, first)
  local data, meta = ARGV[first + 3], ARGV[first + 4]
  newest = call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '0-*', 'h', header, 'd', data, 'm', meta)
  bytes = bytes + #data + #meta
end

local function keep(at, first)
  local about, data, meta, offset = ARGV[first + 2], ARGV[first + 3], ARGV[first + 4], format('%d', at.offset + 1)
  if at.size == '0' then
    call('DEL', at.log)
  elseif at.stored == 0 then
    call('XADD', at.log, 'MAXLEN', '=', at.size, offset .. '-0',
      'h', about, 'd', data, 'm', meta, 'b', format('%d', at.bytes))
  else -- trimmed at the end: that looks through a whole node
    call('XADD', at.log, offset .. '-0', 'h', about, 'd', data, 'm', meta)
  end
  at.offset, at.stored, at.bytes = at.offset + 1, at.stored + 1, at.bytes + #data + #meta
  put(at.prefix .. offset .. ' ' .. about, first)
  return at.epoch, offset
end

local function tell(at, first)
  local epoch = peek(at)
  put('e ' .. at.name .. ' ' .. epoch .. ' 0 ' .. ARGV[first + 2], first)
  return epoch, '0'
end

local function publish(at, first)
  local expected, seen = ARGV[first + 6], nil
  if ARGV[first + 1] ~= '0' then
    seen = KEYS[keys_before_seen + ARGV[first + 1]]
    local before = call('GET', seen)
    if before then
      local epoch, offset = string.match(before, '^(%S*) (%d+)$')
      return epoch, offset, 1
    end
  end
  local ephemeral = ARGV[first + 5] == '1'
  if not ephemeral or expected ~= '' then
    open(at)
    local offset = format('%d', at.offset)
    if expected ~= '' and expected ~= at.epoch .. ' ' .. offset then
      return at.epoch, offset, 2
    end
  end
  local epoch, offset = (ephemeral and tell or keep)(at, first)
  if seen then
    call('SET', seen, epoch .. ' ' .. offset, 'PX', ARGV[7])
  end
  return epoch, offset, 0
end

-- Has log and head live on: the first time, then rarely, as it is one write less to replicate. A log lives up to a tenth
-- longer for that; a head that lives at least twice as long need not be looked at where there is a log.
local function renew(at)
  if at.size == '0' then
    if call('PTTL', at.head) < at.head_ttl * 0.9 then
      call('PEXPIRE', at.head, at.head_ttl)
    end
    return
  end
  local left, longest = call('PTTL', at.log), at.ttl * 1.1
  if left < at.ttl or left > longest then
    call('PEXPIRE', at.log, format('%d', longest))
    call('PEXPIRE', at.head, at.head_ttl)
  end
end

local replies = {}
local place = 0
for first = HEAD_ARGS + CHANNEL_ARGS * number_of_channels + 1, #ARGV, MESSAGE_ARGS do
  local number = tonumber(ARGV[first])
  local done, epoch, offset, state = true, nil, nil, nil
  local at = channels[number]
  if not at then
    done, at = pcall(channel, number)
  end
  if done then
    done, epoch, offset, state = pcall(publish, at, first)
  else
    epoch = at
  end
  if done then
    replies[place + 1], replies[place + 2], replies[place + 3] = epoch, offset, state
    replies[place + 4] = state == 2 and 0 or at.subscribers
  else
    replies[place + 1] = type(epoch) == 'table' and {err = epoch.err} or {err = 'ERR ' .. tostring(epoch)}
    replies[place + 2], replies[place + 3], replies[place + 4] = 0, 0, 0
  end
  place = place + 4
end

for _, at in pairs(channels) do
  if at.stored > 0 then
    call('HSET', at.head, 'offset', format('%d', at.offset), 'bytes', format('%d', at.bytes))
    if at.stored > 1 and at.size ~= '0' then
      call('XTRIM', at.log, 'MAXLEN', '=', at.size)
    end
    if at.bytes - at.from > at.most then
      call('HSET', at.head, 'from', format('%d', fit(at.log, at.bytes, at.most)))
    end
    renew(at)
  end
end
-- A small call counts one time in sixteen, for sixteen: the candidate id is random, and nobody outside can guess it.
if bytes >= SMALL then
  count(KEYS[1], KEYS[2], ARGV[4], ARGV[5], bytes, newest)
elseif newest and string.sub(ARGV[1], 1, 1) == '0' then
  count(KEYS[1], KEYS[2], ARGV[4], ARGV[5], 16 * bytes, newest)
end
return replies

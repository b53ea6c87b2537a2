-- Included by other scripts: how much room there is, of the server's memory and of the bus.
--
-- The history record has a field `full` while messages are refused. Beside the bus is a hash `<bus>:marks`: `bytes`, what was
-- ever put on the bus, m0 to m15, the id that the bus had reached when each sixteenth of its budget was passed, and s0 on,
-- the second of a heartbeat and the id that the bus had reached then, one field for each second that entries are kept.

local MARKS = 16

-- Seconds between two marks of seconds at most: a bus that is quiet has no canary each second.
local BETWEEN = 3

-- Bytes used and maxmemory. INFO memory costs 10 us, so it is asked at heartbeats, at marks, and while it is full.
local function used()
  local info = redis.call('INFO', 'memory')
  local most = tonumber(string.match(info, 'maxmemory:(%d+)') or '0')
  -- Redis itself does not count what it holds for replicas and for the append-only file.
  local aside = tonumber(string.match(info, 'mem_not_counted_for_evict:(%d+)') or '0')
  return tonumber(string.match(info, 'used_memory:(%d+)')) - aside, most
end

-- Whether more than `percent` of maxmemory is used, kept in the record. The bus then gives back what is older than the
-- last mark but one: its readers are behind by milliseconds, and a gateway that is further behind reads the logs.
local function measure(record, bus, budget, percent)
  local now, most = used()
  if most == 0 or now * 100 <= most * percent then
    redis.call('HDEL', record, 'full')
    return false
  end
  redis.call('HSET', record, 'full', '1')
  local marks = bus .. ':marks'
  local passed = math.floor(tonumber(redis.call('HGET', marks, 'bytes') or '0') / (budget / MARKS))
  local mark = redis.call('HGET', marks, 'm' .. (passed - 1) % MARKS)
  if mark then
    redis.call('XTRIM', bus, 'MINID', '~', mark, 'LIMIT', 0)
  end
  return true
end

-- Counts what was put on the bus, whose newest entry is `id`. At each mark what is a whole budget older goes.
local function count(record, bus, budget, percent, bytes, id)
  local marks = bus .. ':marks'
  local total = redis.call('HINCRBY', marks, 'bytes', bytes)
  local step = budget / MARKS
  local passed, before = math.floor(total / step), math.floor((total - bytes) / step)
  if passed == before then
    return
  end
  local oldest = passed - before >= MARKS and id or redis.call('HGET', marks, 'm' .. passed % MARKS)
  for mark = math.max(before + 1, passed - MARKS + 1), passed do
    redis.call('HSET', marks, 'm' .. mark % MARKS, id)
  end
  if oldest then
    redis.call('XTRIM', bus, 'MINID', '~', oldest, 'LIMIT', 0)
  end
  measure(record, bus, budget, percent)
end

-- Lets go what has been on the bus for `seconds`: its readers are behind by milliseconds. `id` is its newest entry.
local function age(bus, seconds, now, id)
  local marks, second = bus .. ':marks', math.floor(now / 1000)
  local fields = {}
  for before = 0, BETWEEN do
    fields[before + 1] = 's' .. (second - before) % seconds
  end
  local newest, old = 0, nil
  for place, mark in ipairs(redis.call('HMGET', marks, unpack(fields))) do
    local at, marked = string.match(mark or '', '^(%d+) (.+)$')
    at = tonumber(at)
    if at == second and place == 1 then
      return
    end
    -- What lies ahead was marked before the clock was set back: nobody knows how old that one is.
    if at and at <= second - seconds and at > newest then
      newest, old = at, marked
    end
  end
  redis.call('HSET', marks, fields[1], string.format('%.0f ', second) .. id)
  if old then
    redis.call('XTRIM', bus, 'MINID', '~', old, 'LIMIT', 0)
  end
end

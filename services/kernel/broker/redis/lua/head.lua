-- Included by other scripts: a channel's head, a hash {epoch, offset, began, history, bytes, from}. `bytes` were ever stored
-- in its log, as data and metadata; `from` is how many of them at least came before the log's oldest entry.

-- Milliseconds that the head of a channel lives in which nothing was published yet: a stranger makes one with each name
-- that it thinks of. Who subscribes keeps it alive (listeners), and the first publication gives it its whole life.
local UNPUBLISHED_TTL = 3600000

-- Makes the head valid in this history: `candidate` becomes the epoch of a head that is missing or of another history.
-- A log without a head goes: nobody knows which epoch its offsets belonged to. Returns epoch, offset (text), bytes, from.
local function opened(head, log, history, candidate)
  local found = redis.call('HMGET', head, 'epoch', 'offset', 'history', 'bytes', 'from')
  if not found[1] then
    redis.call('DEL', log)
    redis.call('HSET', head, 'epoch', candidate, 'offset', '0', 'began', '0', 'history', history)
    redis.call('PEXPIRE', head, UNPUBLISHED_TTL)
    return candidate, '0', 0, 0
  end
  local bytes, from = tonumber(found[4] or 0), tonumber(found[5] or 0)
  if found[3] ~= history then
    redis.call('HSET', head, 'epoch', candidate, 'began', found[2], 'history', history)
    return candidate, found[2], bytes, from
  end
  return found[1], found[2], bytes, from
end

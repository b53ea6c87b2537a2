"""What scripts begin with that write what is not of a channel: nothing is written while it is carried to another server."""

from __future__ import annotations

GUARD = """
local seal_until = redis.call('HGET', KEYS[1], 'seal_until')
if seal_until == 'moved' then
  return redis.error_reply('RELOCATED this partition has moved to another server')
end
if not string.find(redis.call('INFO', 'replication'), 'role:master', 1, true) then
  return redis.error_reply('READONLY this server is not the master')
end
if seal_until then
  local time = redis.call('TIME')
  local left = tonumber(seal_until) - time[1] * 1000 - time[2] / 1000
  if left > 0 and left <= 60000 then
    return redis.error_reply('SEALED this partition is being handed over')
  end
  redis.call('HSET', KEYS[1], 'seal', '')
end
"""
"""Behind a script's flags; KEYS[1] is the history record of partition 0, which need not exist.

Answers as broker/redis/lua/sealed.lua and fence.lua do, 60000 is LONGEST_SEAL there; a replica that may be written to would lose
what it takes. A seal whose time is over loses its name: whoever made it must not go on with what was copied before this. The next
writer that knows histories begins a new one, as if the seal had just ended.
"""

-- Included by other scripts: the server's own clock, which stands while a script runs.

local read
local function clock()
  local time = read or redis.call('TIME')
  read = time
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

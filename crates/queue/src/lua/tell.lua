-- How long Redis keeps what a host was told that did not listen, in ms (settle.rs).
local KEPT_MS = '600000'

-- Tells a host something (message.rs): in its hash, until it has read it, and now.
local function tell(replies, name, how, payload)
  local message = name .. ' ' .. how .. ' ' .. payload
  redis.call('HSET', replies, name, message)
  -- Nobody listens: it is cut off, and looks when it is back; or it is gone.
  if redis.call('PUBLISH', replies, message) == 0 then redis.call('PEXPIRE', replies, KEPT_MS) end
end

-- Notes what has become of a task, until a moment beyond its deadline (ms), as its caller looks then.
local function note(moved, what, deadline)
  local time = redis.call('TIME')
  local left = tonumber(deadline) - (time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('SET', moved, what, 'PX', string.format('%.0f', math.max(left, 0) + 2000))
end


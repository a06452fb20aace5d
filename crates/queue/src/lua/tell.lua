-- What stands before each script. Tells a host something (message.rs): in its hash, until it has read it, and now.
local function tell(replies, name, how, payload)
  local message = name .. ' ' .. how .. ' ' .. payload
  redis.call('HSET', replies, name, message)
  -- Nobody listens: it is cut off, and looks when it is back; or it is gone.
  if redis.call('PUBLISH', replies, message) == 0 then redis.call('PEXPIRE', replies, '600000') end
end

-- What a task adds to the load, beside its bytes: 2^33 (keys.rs).
local TASK = 8589934592


-- Takes a task in, unless it is too late or something is full.
-- KEYS: lane, the app's outstanding tasks, its rate, the load.
-- ARGV: host, number, app, deadline (ms), payload, its bytes, the app's most outstanding, its rate (per s, 0:
-- any), most tasks, most bytes.
-- Answers {'ok', id}, {'expired'}, {'queue'}, {'app'} or {'rate', ms until there is room}.
-- Numbers are passed on as the texts they came as: Redis prints a Lua number with 17 digits, which takes longer
-- than most commands.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(ARGV[4]) <= now then return {'expired'} end
local load = redis.call('HMGET', KEYS[4], 'tasks', 'bytes')
local tasks, bytes = tonumber(load[1] or 0), tonumber(load[2] or 0)
if tasks >= tonumber(ARGV[9]) or bytes + #ARGV[5] > tonumber(ARGV[10]) then return {'queue'} end
local most = tonumber(ARGV[7])
local outstanding = redis.call('ZCARD', KEYS[2])
if outstanding >= most then
  -- Tasks that nobody settled (their stream was flushed, say) must not count for ever.
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - 60000))
  if redis.call('ZCARD', KEYS[2]) >= most then return {'app'} end
end
if ARGV[8] ~= '0' then
  -- The generic cell rate algorithm (ITU-T I.371) with a burst of one second's tasks.
  local at = time[1] * 1000000 + time[2]
  local step = 1000000 / tonumber(ARGV[8])
  local due = math.max(tonumber(redis.call('GET', KEYS[3]) or 0), at)
  local early = due + step - at - 1000000
  if early > 0.5 then return {'rate', math.ceil(early / 1000)} end
  redis.call('SET', KEYS[3], string.format('%.0f', due + step), 'PX', '10000')
end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1] .. ':' .. ARGV[2])
-- A day: no task lives as long, and what is left behind goes by itself.
if outstanding == 0 then redis.call('PEXPIRE', KEYS[2], '86400000') end
redis.call('HINCRBY', KEYS[4], 'tasks', '1')
redis.call('HINCRBY', KEYS[4], 'bytes', ARGV[6])
return {'ok', redis.call('XADD', KEYS[1], '*', 'h', ARGV[1], 'n', ARGV[2], 'a', ARGV[3], 'd', ARGV[4], 'p', ARGV[5])}

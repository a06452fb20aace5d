-- Takes tasks in, each unless it is too late or something is full.
-- KEYS: the load; for each task its lane, its app's outstanding tasks, its app's rate.
-- ARGV: host, most tasks, most bytes; for each task its number, app, deadline (ms), payload, its app's most
-- outstanding, its app's rate (per s, 0: any).
-- Answers for each {'ok', id}, {'expired'}, {'queue'}, {'app'}, {'rate', ms until there is room} or {'broken', why}.
-- Numbers are passed on as the texts they came as: Redis prints a Lua number with 17 digits, which takes longer
-- than most commands.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local load = redis.call('HMGET', KEYS[1], 'tasks', 'bytes')
local tasks, bytes = tonumber(load[1] or 0), tonumber(load[2] or 0)
local most_tasks, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local new_tasks, new_bytes = 0, 0
local outstanding = {}

local function enter(lane, app, rate, number, name, deadline, payload, most, per_second)
  if tonumber(deadline) <= now then return {'expired'} end
  if tasks + new_tasks >= most_tasks or bytes + new_bytes + #payload > most_bytes then return {'queue'} end
  local count = outstanding[app] or redis.call('ZCARD', app)
  if count >= tonumber(most) then
    -- Tasks that nobody settled (their stream was flushed, say) must not count for ever.
    redis.call('ZREMRANGEBYSCORE', app, '-inf', string.format('%.0f', now - 60000))
    count = redis.call('ZCARD', app)
    if count >= tonumber(most) then return {'app'} end
  end
  if per_second ~= '0' then
    -- The generic cell rate algorithm (ITU-T I.371) with a burst of one second's tasks.
    local at = time[1] * 1000000 + time[2]
    local step = 1000000 / tonumber(per_second)
    local due = math.max(tonumber(redis.call('GET', rate) or 0), at)
    local early = due + step - at - 1000000
    if early > 0.5 then return {'rate', math.ceil(early / 1000)} end
    redis.call('SET', rate, string.format('%.0f', due + step), 'PX', '10000')
  end
  redis.call('ZADD', app, deadline, ARGV[1] .. ':' .. number)
  -- A day: no task lives half as long, and what is left behind goes by itself.
  if count == 0 or redis.call('PTTL', app) < 43200000 then redis.call('PEXPIRE', app, '86400000') end
  outstanding[app] = count + 1
  local id = redis.call('XADD', lane, '*', 'h', ARGV[1], 'n', number, 'a', name, 'd', deadline, 'p', payload)
  new_tasks = new_tasks + 1
  new_bytes = new_bytes + #payload
  return {'ok', id}
end

local answers = {}
for i = 1, (#KEYS - 1) / 3 do
  local k, a = 3 * i - 1, 6 * i - 2
  -- A key that is not what it should be is its own task's trouble.
  local ran, answer = pcall(enter, KEYS[k], KEYS[k + 1], KEYS[k + 2], ARGV[a], ARGV[a + 1], ARGV[a + 2],
    ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
  answers[i] = ran and answer or {'broken', type(answer) == 'table' and answer.err or tostring(answer)}
end
if new_tasks > 0 then
  redis.call('HINCRBY', KEYS[1], 'tasks', string.format('%.0f', new_tasks))
  redis.call('HINCRBY', KEYS[1], 'bytes', string.format('%.0f', new_bytes))
end
return answers

-- Takes tasks in, each unless it is too late or something is full.
-- KEYS: the load, the apps' counts; for each task its lane, its app's rate.
-- ARGV: host, most tasks, most bytes; for each task its number, app, deadline (ms), payload, weight, its app's most
-- outstanding, its app's rate (per s, 0: any).
-- Answers for each its id, or {'expired'}, {'queue'}, {'app'}, {'rate', ms until there is room} or {'broken', why}.
-- Each command costs Redis, whose one thread all hosts share, about a microsecond, whatever it does: so what is
-- counted is counted first, and taken back where it was too much. Numbers are passed on as the texts they came as:
-- Redis prints a Lua number with 17 digits, which takes longer than most commands.
local call = redis.call
-- The load is one number: 2^33 for each task, and their bytes (keys.rs).
local TASK = 8589934592
local most_tasks, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local count = (#KEYS - 2) / 2
local more = 0
for i = 1, count do more = more + tonumber(ARGV[7 * i + 1]) end
local load = tonumber(call('INCRBY', KEYS[1], count == 1 and ARGV[8] or string.format('%.0f', more)))
local fits = math.floor(load / TASK) <= most_tasks and load % TASK <= most_bytes
if not fits then load = load - more end

local function enter(lane, rate, number, name, deadline, payload, weight, most, per_second)
  if not fits then
    local with = load + tonumber(weight)
    if math.floor(with / TASK) > most_tasks or with % TASK > most_bytes then return {'queue'} end
    load = with
  end
  if call('HINCRBY', KEYS[2], name, 1) > tonumber(most) then
    call('HINCRBY', KEYS[2], name, -1)
    return {'app'}
  end
  local early = 0
  if per_second ~= '0' then
    -- The generic cell rate algorithm (ITU-T I.371) with a burst of one second's tasks.
    local time = call('TIME')
    local at = time[1] * 1000000 + time[2]
    local due = redis.pcall('GET', rate)
    if type(due) == 'table' then
      call('HINCRBY', KEYS[2], name, -1)
      return {'broken', due.err}
    end
    due = math.max(tonumber(due or 0) or 0, at) + 1000000 / tonumber(per_second)
    early = due - at - 1000000
    if early <= 0.5 then call('SET', rate, string.format('%.0f', due), 'PX', '10000') end
  end
  if early > 0.5 then
    call('HINCRBY', KEYS[2], name, -1)
    return {'rate', math.ceil(early / 1000)}
  end
  local id = redis.pcall('XADD', lane, '*', 'h', ARGV[1], 'n', number, 'a', name, 'd', deadline, 'p', payload)
  if type(id) == 'table' then
    call('HINCRBY', KEYS[2], name, -1)
    return {'broken', id.err}
  end
  -- What time it is stands in the id.
  if tonumber(deadline) <= tonumber(string.match(id, '^%d+')) then
    call('XDEL', lane, id)
    call('HINCRBY', KEYS[2], name, -1)
    return {'expired'}
  end
  return id
end

local answers = {}
local refused = 0
for i = 1, count do
  local k, a = 2 * i + 1, 7 * i - 3
  -- A key that is not what it should be is its own task's trouble.
  local ran, answer = pcall(enter, KEYS[k], KEYS[k + 1], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4],
    ARGV[a + 5], ARGV[a + 6])
  if not ran then answer = {'broken', type(answer) == 'table' and answer.err or tostring(answer)} end
  if type(answer) == 'table' then refused = refused + tonumber(ARGV[a + 4]) end
  answers[i] = answer
end
if refused > 0 then call('DECRBY', KEYS[1], string.format('%.0f', refused)) end
return answers

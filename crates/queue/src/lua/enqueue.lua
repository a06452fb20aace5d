-- Admits entries that the same transaction has just added to their lanes, in this order, and deletes those for which
-- something is full: no worker has seen them. (The entries do not come through here: Lua would hash and copy each.)
-- KEYS: the load, the apps' counts; for each task its lane, its app's rate.
-- ARGV: most tasks, most bytes; for each task its app, weight, its app's most outstanding, its app's rate (per s, 0:
-- any).
-- Answers for each 1, or {'queue'}, {'app'}, {'rate', ms until there is room} or {'broken', why}.
-- Each command costs Redis, whose one thread all hosts share, about a microsecond, whatever it does: so what is
-- counted is counted first, and taken back where it was too much. Numbers are passed on as the texts they came as:
-- Redis prints a Lua number with 17 digits, which takes longer than most commands.
local call = redis.call
local most_tasks, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local count = (#KEYS - 2) / 2
local more = 0
for i = 1, count do more = more + tonumber(ARGV[4 * i]) end
local more_text = count == 1 and ARGV[4] or string.format('%.0f', more)
local load = tonumber(call('INCRBY', KEYS[1], more_text))
if load < more then
  -- Tasks ended that nobody had counted: scripts were flushed as they came, or somebody added them by hand.
  call('SET', KEYS[1], more_text)
  load = more
end
local fits = math.floor(load / TASK) <= most_tasks and load % TASK <= most_bytes
if not fits then load = load - more end

-- The generic cell rate algorithm (ITU-T I.371) with a burst of one second's tasks.
local function pace(rate, per_second)
  local time = call('TIME')
  local at = time[1] * 1000000 + time[2]
  local due = redis.pcall('GET', rate)
  if type(due) == 'table' then return {'broken', due.err} end
  due = math.max(tonumber(due or 0) or 0, at) + 1000000 / tonumber(per_second)
  local early = due - at - 1000000
  if early > 0.5 then return {'rate', math.ceil(early / 1000)} end
  call('SET', rate, string.format('%.0f', due), 'PX', '10000')
  return 1
end

local function admit(rate, name, weight, most, per_second)
  if not fits then
    local with = load + tonumber(weight)
    if math.floor(with / TASK) > most_tasks or with % TASK > most_bytes then return {'queue'} end
    load = with
  end
  local answer = 1
  if call('HINCRBY', KEYS[2], name, 1) > tonumber(most) then
    answer = {'app'}
  elseif per_second ~= '0' then
    answer = pace(rate, per_second)
  end
  if answer ~= 1 then call('HINCRBY', KEYS[2], name, -1) end
  return answer
end

local answers = {}
local refused = 0
for i = 1, count do
  local a = 4 * i - 1
  -- A key that is not what it should be is its own task's trouble.
  local ran, answer = pcall(admit, KEYS[2 * i + 2], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3])
  if not ran then answer = {'broken', type(answer) == 'table' and answer.err or tostring(answer)} end
  if answer ~= 1 then refused = refused + tonumber(ARGV[a + 1]) end
  answers[i] = answer
end
if refused == 0 then return answers end

call('DECRBY', KEYS[1], string.format('%.0f', refused))
-- The last entries of each lane are this transaction's, in this order.
local left, entries = {}, {}
for i = 1, count do
  local lane = KEYS[2 * i + 1]
  left[lane] = (left[lane] or 0) + 1
end
for i = 1, count do
  local lane = KEYS[2 * i + 1]
  if answers[i] ~= 1 then
    entries[lane] = entries[lane] or call('XREVRANGE', lane, '+', '-', 'COUNT', left[lane])
    call('XDEL', lane, entries[lane][left[lane]][1])
  end
  left[lane] = left[lane] - 1
end
return answers

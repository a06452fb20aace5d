-- Answers tasks that this worker was given. Whoever acknowledges one first answers it; another's answer is dropped.
-- KEYS: the load; for each task its lane, its app's outstanding tasks, its caller's replies.
-- ARGV: for each task its id, host:number, bytes, number, how, answer.
-- Answers for each 1, or 0 if its answer was dropped, or why it may have been left half-done.
local done_tasks, done_bytes = 0, 0
local ended = {}

local function settle(lane, app, replies, id, member, bytes, number, how, answer)
  if redis.call('XACK', lane, 'workers', id) == 0 then return 0 end
  ended[lane] = ended[lane] or {}
  table.insert(ended[lane], id)
  done_tasks = done_tasks + 1
  done_bytes = done_bytes + tonumber(bytes)
  redis.call('ZREM', app, member)
  if not redis.call('XADD', replies, 'NOMKSTREAM', '*', 'n', number, 'k', how, 'p', answer) then
    -- Its caller is gone and reads no answers, or Redis was flushed a moment ago: then it does.
    redis.call('XADD', replies, '*', 'n', number, 'k', how, 'p', answer)
    redis.call('PEXPIRE', replies, '600000')
  end
  return 1
end

local answers = {}
for i = 1, (#KEYS - 1) / 3 do
  local k, a = 3 * i - 1, 6 * i - 5
  -- A key that is not what it should be is its own task's trouble.
  local ran, answer = pcall(settle, KEYS[k], KEYS[k + 1], KEYS[k + 2], ARGV[a], ARGV[a + 1], ARGV[a + 2],
    ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
  answers[i] = ran and answer or (type(answer) == 'table' and answer.err or tostring(answer))
end
for lane, ids in pairs(ended) do redis.call('XDEL', lane, unpack(ids)) end
if done_tasks > 0 then
  redis.call('HINCRBY', KEYS[1], 'tasks', string.format('-%.0f', done_tasks))
  redis.call('HINCRBY', KEYS[1], 'bytes', string.format('-%.0f', done_bytes))
end
return answers

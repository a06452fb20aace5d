-- Answers tasks that this worker was given. Whoever acknowledges one first answers it; another's answer is dropped.
-- KEYS: the load, the apps' counts; for each task its lane, its caller's replies.
-- ARGV: for each task its id, app, weight, number, how, answer.
-- Answers for each 1, or 0 if its answer was dropped, or why it may have been left half-done.
local call = redis.call
local count = (#KEYS - 2) / 2
local done = 0
local ended = {}

local function settle(lane, replies, id, app, weight, number, how, answer)
  if call('XACK', lane, 'workers', id) == 0 then return 0 end
  local ids = ended[lane]
  if ids then ids[#ids + 1] = id else ended[lane] = {id} end
  done = done + tonumber(weight)
  call('HINCRBY', KEYS[2], app, -1)
  if not call('XADD', replies, 'NOMKSTREAM', '*', 'n', number, 'k', how, 'p', answer) then
    -- Its caller is gone and reads no answers, or Redis was flushed a moment ago: then it does.
    call('XADD', replies, '*', 'n', number, 'k', how, 'p', answer)
    call('PEXPIRE', replies, '600000')
  end
  return 1
end

local answers = {}
for i = 1, count do
  local k, a = 2 * i + 1, 6 * i - 5
  -- A key that is not what it should be is its own task's trouble.
  local ran, answer = pcall(settle, KEYS[k], KEYS[k + 1], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4],
    ARGV[a + 5])
  answers[i] = ran and answer or (type(answer) == 'table' and answer.err or tostring(answer))
end
for lane, ids in pairs(ended) do call('XDEL', lane, unpack(ids)) end
if done > 0 then call('DECRBY', KEYS[1], count == 1 and ARGV[3] or string.format('%.0f', done)) end
return answers

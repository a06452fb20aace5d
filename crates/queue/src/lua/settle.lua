-- Ends tasks that this worker was given, whose answers the same transaction has just sent. Whoever acknowledges one
-- first answers it: of a second answer its caller hears when it waits no more.
-- KEYS: the load, the apps' counts; for each task its lane.
-- ARGV: for each task its id, app, weight.
-- Answers for each 1, or 0 if it was ended before, or why it may have been left half-done.
local call = redis.call
local count = #KEYS - 2
local done = 0
local ended = {}

local function settle(lane, id, app, weight)
  if call('XACK', lane, 'workers', id) == 0 then return 0 end
  local ids = ended[lane]
  if ids then ids[#ids + 1] = id else ended[lane] = {id} end
  done = done + tonumber(weight)
  call('HINCRBY', KEYS[2], app, -1)
  return 1
end

local answers = {}
for i = 1, count do
  local a = 3 * i - 2
  -- A key that is not what it should be is its own task's trouble.
  local ran, answer = pcall(settle, KEYS[i + 2], ARGV[a], ARGV[a + 1], ARGV[a + 2])
  answers[i] = ran and answer or (type(answer) == 'table' and answer.err or tostring(answer))
end
for lane, ids in pairs(ended) do call('XDEL', lane, unpack(ids)) end
if done > 0 then call('DECRBY', KEYS[1], count == 1 and ARGV[3] or string.format('%.0f', done)) end
return answers

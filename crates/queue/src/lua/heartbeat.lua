-- Renews a host's lease, and says who else is there.
-- KEYS: its lease, the hosts, the load, the reaper's turn, its replies, the apps' counts, then the lanes.
-- ARGV: its name, what is known of it ("api {json}" or "worker {json}"), the lease (ms), the prefix of leases.
-- Answers {now (ms), whether its lease had held, workers, tasks outstanding, dead hosts…}; the dead to one
-- host per turn.
local time = redis.call('TIME')
local held = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
-- What it was told and has not read: if it is cut off, it finds what came meanwhile.
redis.call('PEXPIRE', KEYS[5], KEPT_MS)
local all = redis.call('HGETALL', KEYS[2])
local workers = 0
local dead = {}
local turn = redis.call('SET', KEYS[4], ARGV[1], 'NX', 'PX', 500)
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, 6) == 'worker' then workers = workers + 1 end
  if turn and redis.call('EXISTS', ARGV[4] .. all[i]) == 0 then
    dead[#dead + 1] = all[i]
    if string.sub(all[i + 1], 1, 6) == 'worker' then workers = workers - 1 end
  end
end
if turn then
  -- Counted exactly, unless somebody deleted by hand: an empty queue is the moment to begin anew.
  local left = 0
  for i = 7, #KEYS do left = left + redis.call('XLEN', KEYS[i]) end
  if left == 0 then redis.call('DEL', KEYS[3], KEYS[6]) end
end
-- Apps that have nothing outstanding any more are forgotten by and by: each time a task ends would cost more.
local some = redis.call('HRANDFIELD', KEYS[6], 64, 'WITHVALUES')
for i = 1, #some, 2 do
  if (tonumber(some[i + 1]) or 1) <= 0 then redis.call('HDEL', KEYS[6], some[i]) end
end
local tasks = math.max(0, math.floor(tonumber(redis.call('GET', KEYS[3]) or 0) / TASK))
return {time[1] * 1000 + math.floor(time[2] / 1000), held, workers, tasks, unpack(dead)}

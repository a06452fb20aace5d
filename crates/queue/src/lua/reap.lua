-- Answers what a dead host was given as lost, and forgets the host: at once, so that no other can do it twice.
-- It may have begun any of these tasks, so none is run again.
-- KEYS: its lease, the hosts, the load, its replies, the apps' counts, then the lanes. ARGV: its name, the prefix of
-- replies. Answers how many tasks were lost, or -1 if the host is alive.
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
local lost = 0
for lane = 6, #KEYS do
  while true do
    local given = redis.pcall('XPENDING', KEYS[lane], 'workers', '-', '+', 100, ARGV[1])
    if given.err or #given == 0 then break end
    for _, entry in ipairs(given) do
      local id = entry[1]
      redis.call('XACK', KEYS[lane], 'workers', id)
      -- An entry that was deleted under it leaves only its id.
      local found = redis.call('XRANGE', KEYS[lane], id, id)[1]
      if found then
        local task = {}
        for i = 1, #found[2], 2 do task[found[2][i]] = found[2][i + 1] end
        redis.call('XDEL', KEYS[lane], id)
        redis.call('HINCRBY', KEYS[5], task.a, -1)
        redis.call('DECRBY', KEYS[3], string.format('%.0f', TASK + #task.p))
        tell(ARGV[2] .. task.h, task.n, 'lost', '')
        lost = lost + 1
      end
    end
  end
  redis.pcall('XGROUP', 'DELCONSUMER', KEYS[lane], 'workers', ARGV[1])
end
redis.call('HDEL', KEYS[2], ARGV[1])
-- If it is not dead but was cut off, it looks for what it was told.
redis.call('PEXPIRE', KEYS[4], KEPT_MS)
return lost

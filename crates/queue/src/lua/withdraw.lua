-- Takes a task back that no worker has now; tells the worker that has it that nobody waits for it any more. Answers 1
-- if it will never run.
-- KEYS: lane, the apps' counts, the load, what has become of it.
-- ARGV: id, app, weight, deadline (ms), the prefix of what workers are told, or nothing if they are not.
local id = redis.call('GET', KEYS[4]) or ARGV[1]
if id == 'withdrawn' then return 0 end
local given = redis.pcall('XPENDING', KEYS[1], 'workers', id, id, 1)
if given.err == nil and #given > 0 then
  -- Its worker may yet hand it back without having begun it: then it is to go nowhere.
  note(KEYS[4], 'withdrawn', ARGV[4])
  if ARGV[5] ~= '' then
    local entry = KEYS[1] .. ' ' .. id
    tell(ARGV[5] .. given[1][2], 'withdrawn:' .. redis.sha1hex(entry), 'withdrawn', entry)
  end
  return 0
end
if redis.call('XDEL', KEYS[1], id) == 0 then return 0 end
redis.call('DEL', KEYS[4])
redis.call('HINCRBY', KEYS[2], ARGV[2], -1)
redis.call('DECRBY', KEYS[3], ARGV[3])
return 1

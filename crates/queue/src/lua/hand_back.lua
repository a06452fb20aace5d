-- Puts a task that this worker was given and has not begun back, behind what waits; one that its caller has taken
-- back meanwhile is answered as expired.
-- KEYS: lane, what has become of it, the apps' counts, the load, its caller's replies.
-- ARGV: id, host, number, app, deadline (ms), payload, weight.
if redis.call('XACK', KEYS[1], 'workers', ARGV[1]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[1])
if redis.call('GET', KEYS[2]) == 'withdrawn' then
  redis.call('DEL', KEYS[2])
  redis.call('HINCRBY', KEYS[3], ARGV[4], -1)
  redis.call('DECRBY', KEYS[4], ARGV[7])
  tell(KEYS[5], ARGV[3], 'expired', '')
  return 1
end
local id = redis.call('XADD', KEYS[1], '*', 'h', ARGV[2], 'n', ARGV[3], 'a', ARGV[4], 'd', ARGV[5], 'p', ARGV[6])
-- Its caller knows it by its old id.
note(KEYS[2], id, ARGV[5])
return 1

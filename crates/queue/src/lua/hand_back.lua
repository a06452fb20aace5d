-- Puts a task that this worker was given and has not begun back, behind what waits.
-- KEYS: lane. ARGV: id, host, number, app, deadline (ms), payload.
if redis.call('XACK', KEYS[1], 'workers', ARGV[1]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('XADD', KEYS[1], '*', 'h', ARGV[2], 'n', ARGV[3], 'a', ARGV[4], 'd', ARGV[5], 'p', ARGV[6])
return 1

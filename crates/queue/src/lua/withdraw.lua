-- Takes a task back that no worker was given yet. Answers 1 if it will never run.
-- KEYS: lane, the app's outstanding tasks, the load. ARGV: id, host:number, bytes (negative).
local given = redis.pcall('XPENDING', KEYS[1], 'workers', ARGV[1], ARGV[1], 1)
if given.err == nil and #given > 0 then return 0 end
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HINCRBY', KEYS[3], 'tasks', '-1')
redis.call('HINCRBY', KEYS[3], 'bytes', ARGV[3])
return 1

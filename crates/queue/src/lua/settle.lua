-- Answers a task that this worker was given. Whoever acknowledges first answers; another's answer is dropped.
-- KEYS: lane, the app's outstanding tasks, the load, the caller's replies.
-- ARGV: id, host:number, bytes (negative), number, how, answer.
if redis.call('XACK', KEYS[1], 'workers', ARGV[1]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HINCRBY', KEYS[3], 'tasks', '-1')
redis.call('HINCRBY', KEYS[3], 'bytes', ARGV[3])
if not redis.call('XADD', KEYS[4], 'NOMKSTREAM', '*', 'n', ARGV[4], 'k', ARGV[5], 'p', ARGV[6]) then
  -- Its caller is gone and reads no answers, or Redis was flushed a moment ago: then it does.
  redis.call('XADD', KEYS[4], '*', 'n', ARGV[4], 'k', ARGV[5], 'p', ARGV[6])
  redis.call('PEXPIRE', KEYS[4], '600000')
end
return 1

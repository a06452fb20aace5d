-- Tells every API host that something of an app has changed.
-- KEYS: the hosts. ARGV: the app, the prefix of replies.
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, 3) == 'api' then
    redis.call('XADD', ARGV[2] .. all[i], '*', 'n', '0', 'k', 'changed', 'p', ARGV[1])
  end
end
return #all / 2

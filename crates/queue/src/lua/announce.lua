-- Tells every API host that something of an app has changed.
-- KEYS: the hosts. ARGV: the app, the prefix of replies.
local all = redis.call('HGETALL', KEYS[1])
local time = redis.call('TIME')
local name = string.format('changed:%s.%s:%s', time[1], time[2], redis.sha1hex(ARGV[1]))
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, 3) == 'api' then
    tell(ARGV[2] .. all[i], name, 'changed', ARGV[1])
  end
end
return #all / 2

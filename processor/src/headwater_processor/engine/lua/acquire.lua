-- Take a partition over: a new epoch refuses every call of the owner before.
-- KEYS 1 f:p 2 meta; ARGV 1 random token 2 topic id ('' unknown) 3 offset to begin at if there is no fence ('' none: refuse)
-- Returns {'OK', fence as field, value, …} or {'TOPIC', stored} or {'EMPTY'}.
local f = redis.call('HMGET', KEYS[1], 'epoch', 'topic', 'next')
if f[2] and f[2] ~= '' and ARGV[2] ~= '' and f[2] ~= ARGV[2] then return { 'TOPIC', f[2] } end
if not f[3] and ARGV[3] == '' then return { 'EMPTY' } end
local counter = f[1] and tonumber(string.match(f[1], '^%d+')) or 0
local topic = ARGV[2] ~= '' and ARGV[2] or (f[2] or '')
redis.call('HSET', KEYS[1], 'epoch', string.format('%d:%s', counter + 1, ARGV[1]), 'topic', topic)
if not f[3] then
  redis.call('HSET', KEYS[1], 'next', ARGV[3])
  redis.call('HDEL', KEYS[1], 'stopped', 'stopped_at') -- it was stopped for having no state; now it begins anew
end
return { 'OK', redis.call('HGETALL', KEYS[1]) }

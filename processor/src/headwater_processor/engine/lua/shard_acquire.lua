-- Take a shard over. KEYS 1 sf:s; ARGV 1 random token. Returns epoch, the version to go on from, policy version.
-- Versions are the clock's microseconds or, in a round of many images, a little ahead of it. The owner before may be in the
-- middle of such a round; a second on top puts every image of ours above all of its.
local f = redis.call('HMGET', KEYS[1], 'epoch', 'ver', 'pv')
local counter = f[1] and tonumber(string.match(f[1], '^%d+')) or 0
local epoch = string.format('%d:%s', counter + 1, ARGV[1])
local t = redis.call('TIME')
local version = string.format('%.0f', math.max(tonumber(f[2] or '0'), t[1] * 1000000 + t[2]) + 1000000)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'ver', version, 'step', '0')
return { epoch, version, f[3] or '-1' }

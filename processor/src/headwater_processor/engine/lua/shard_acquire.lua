-- Take a shard over. KEYS 1 sf:s; ARGV 1 random token. Returns epoch, last version, policy version.
local f = redis.call('HMGET', KEYS[1], 'epoch', 'ver', 'pv')
local counter = f[1] and tonumber(string.match(f[1], '^%d+')) or 0
local epoch = string.format('%d:%s', counter + 1, ARGV[1])
redis.call('HSET', KEYS[1], 'epoch', epoch)
return { epoch, f[2] or '0', f[3] or '-1' }

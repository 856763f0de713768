-- What was judged, in one step: status, machines, when to look again, alerts and names to publish.
-- KEYS 1 sf:s 2 st:s 3 am:s 4 dl:s 5 ao:s 6 ro:s, then the outboxes
-- ARGV 1 epoch 2 step 3 policy version 4 msgpack {statuses [field, value …], machines [fingerprint, value …], machines gone [fingerprint …],
--      looks [time, member …], members gone [member …], alerts [bytes …], names [shard, bytes …], runs lost [member …]}
-- Returns 1; 0 if the shard has another owner or was set back since the owner's last step; -1 if it was judged by a newer policy.
local f = redis.call('HMGET', KEYS[1], 'epoch', 'step', 'pv')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] then return 0 end
if tonumber(f[3] or '-1') > tonumber(ARGV[3]) then return -1 end
local p = cmsgpack.unpack(ARGV[4])
local function many(command, key, list)
  for lo = 1, #list, 2000 do redis.call(command, key, unpack(list, lo, math.min(lo + 1999, #list))) end
end
-- A Redis without memory refuses what may grow, command by command: asked with the first write, it refuses all or nothing.
redis.call('HSET', KEYS[1], 'pv', ARGV[3], 'step', string.format('%d', ARGV[2] + 1))
many('HSET', KEYS[2], p[1])
many('HSET', KEYS[3], p[2])
many('HDEL', KEYS[3], p[3])
many('ZADD', KEYS[4], p[4])
many('ZREM', KEYS[4], p[5])
many('RPUSH', KEYS[5], p[6])
for i = 1, #p[7], 2 do redis.call('RPUSH', KEYS[7 + p[7][i]], p[7][i + 1]) end
many('ZREM', KEYS[6], p[8])
return 1

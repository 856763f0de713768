-- After images are acknowledged: forget the names, remember the version, keep histories, wake who has to be judged.
-- KEYS 1 sf:s 2 o:s 3 dl:s 4 jr; ARGV 1 epoch 2 names entries to trim 3 version 4 msgpack [members to wake] 5 msgpack [job, history, …]
-- Returns 1, or 0 if the shard has another owner.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
-- A Redis without memory refuses what may grow, command by command: asked with the first write, it refuses all or nothing.
redis.call('HSET', KEYS[1], 'ver', ARGV[3])
local wake, histories = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])
for i = 1, #wake do redis.call('ZADD', KEYS[3], 'LT', 1, wake[i]) end
for i = 1, #histories, 2 do redis.call('HSET', KEYS[4], histories[i], histories[i + 1]) end
if tonumber(ARGV[2]) > 0 then redis.call('LTRIM', KEYS[2], ARGV[2], -1) end
return 1

-- After images are acknowledged: forget the names, remember the version, keep histories, wake who has to be judged.
-- KEYS 1 sf:s 2 o:s 3 dl:s 4 jr; ARGV 1 epoch 2 names entries to trim 3 version 4 msgpack [members to wake] 5 msgpack [job, history, …]
-- Returns 1, or 0 if the shard has another owner.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
-- A Redis without memory refuses what may grow, command by command: asked with the first write, it refuses all or nothing.
redis.call('HSET', KEYS[1], 'ver', ARGV[3])
local wake, histories = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])
for lo = 1, #wake, 2000 do
  local pairs_, k = {}, 0
  for i = lo, math.min(lo + 1999, #wake) do
    pairs_[k + 1], pairs_[k + 2] = 1, wake[i]
    k = k + 2
  end
  redis.call('ZADD', KEYS[3], 'LT', unpack(pairs_))
end
for lo = 1, #histories, 2000 do
  redis.call('HSET', KEYS[4], unpack(histories, lo, math.min(lo + 1999, #histories)))
end
if tonumber(ARGV[2]) > 0 then redis.call('LTRIM', KEYS[2], ARGV[2], -1) end
return 1

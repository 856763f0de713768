-- After images are acknowledged: forget the names, remember the version, keep histories, wake who has to be judged. For several
-- shards at once, each under its own fence.
-- KEYS 1 jr, then for each shard sf:s o:s dl:s
-- ARGV for each shard: epoch, step, names entries to trim, version, msgpack [members to wake], msgpack [job, history, …]
-- Returns for each shard 1, or 0 if it has another owner or was set back since the owner's last step: its entries are others now.
local done = {}
for at = 0, (#KEYS - 1) / 3 - 1 do
  local sf, outbox, looks = KEYS[3 * at + 2], KEYS[3 * at + 3], KEYS[3 * at + 4]
  local epoch, step, trim, version = unpack(ARGV, 6 * at + 1, 6 * at + 4)
  local f = redis.call('HMGET', sf, 'epoch', 'step')
  if f[1] ~= epoch or f[2] ~= step then
    done[at + 1] = 0
  else
    -- A Redis without memory refuses what may grow, command by command: asked with the first write, it refuses all or nothing.
    redis.call('HSET', sf, 'ver', version, 'step', string.format('%d', step + 1))
    local wake, histories = cmsgpack.unpack(ARGV[6 * at + 5]), cmsgpack.unpack(ARGV[6 * at + 6])
    for lo = 1, #wake, 2000 do
      local pairs_, k = {}, 0
      for i = lo, math.min(lo + 1999, #wake) do
        pairs_[k + 1], pairs_[k + 2] = 1, wake[i]
        k = k + 2
      end
      redis.call('ZADD', looks, 'LT', unpack(pairs_))
    end
    for lo = 1, #histories, 2000 do
      redis.call('HSET', KEYS[1], unpack(histories, lo, math.min(lo + 1999, #histories)))
    end
    if tonumber(trim) > 0 then redis.call('LTRIM', outbox, trim, -1) end
    done[at + 1] = 1
  end
end
return done

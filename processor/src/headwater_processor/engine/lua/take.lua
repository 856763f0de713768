-- What was named in the shards of an owner, each from an entry on, at most so many entries in all.
-- KEYS for each shard: sf:s o:s. ARGV 1 the most entries, then for each shard: epoch, step, first entry.
-- Returns for each shard the entries; 0 if it has another owner, or the state is not the one in which the owner took its last
-- step: then the entries it counts from are not these. What is taken is a step, so that a state set back past it is known at the
-- next one.
local taken, left = {}, tonumber(ARGV[1])
for at = 0, #KEYS / 2 - 1 do
  local epoch, step, first = ARGV[3 * at + 2], ARGV[3 * at + 3], ARGV[3 * at + 4]
  local f = redis.call('HMGET', KEYS[2 * at + 1], 'epoch', 'step')
  local found = 0
  if f[1] == epoch and f[2] == step then
    found = {}
    if left > 0 then found = redis.call('LRANGE', KEYS[2 * at + 2], first, first + left - 1) end
    if #found > 0 then redis.call('HSET', KEYS[2 * at + 1], 'step', string.format('%d', step + 1)) end
    left = left - #found
  end
  taken[at + 1] = found
end
return taken

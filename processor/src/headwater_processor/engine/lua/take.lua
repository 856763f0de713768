-- What was named in a shard, from an entry on. KEYS 1 sf:s 2 o:s; ARGV 1 epoch 2 step 3 first 4 last entry.
-- Returns the entries; 0 if the shard has another owner, or the state is not the one in which the owner took its last step: then
-- the entries it counts from are not these. What is taken is a step, so that a state set back past it is known at the next one.
local f = redis.call('HMGET', KEYS[1], 'epoch', 'step')
if f[1] ~= ARGV[1] or f[2] ~= ARGV[2] then return 0 end
local found = redis.call('LRANGE', KEYS[2], ARGV[3], ARGV[4])
if #found > 0 then redis.call('HSET', KEYS[1], 'step', string.format('%d', ARGV[2] + 1)) end
return found

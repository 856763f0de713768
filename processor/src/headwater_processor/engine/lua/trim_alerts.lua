-- Alerts that are acknowledged. KEYS 1 sf:s 2 ao:s; ARGV 1 epoch 2 count. Returns 1, or 0 if the shard has another owner.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('LTRIM', KEYS[2], ARGV[2], -1)
return 1

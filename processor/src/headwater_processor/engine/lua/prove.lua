-- As-of of idle partitions: nothing to apply, but everything up to the end is applied.
-- KEYS 1 asof 2 meta, then a fence each; ARGV for each fence: partition, epoch, next it must have reached, as-of (µs).
-- Returns for each whether it held.
local held = {}
for i = 3, #KEYS do
  local a = (i - 3) * 4
  local f = redis.call('HMGET', KEYS[i], 'epoch', 'next')
  if f[1] == ARGV[a + 2] and tonumber(f[2]) >= tonumber(ARGV[a + 3]) then
    redis.call('HSET', KEYS[1], ARGV[a + 1], ARGV[a + 4])
    held[#held + 1] = 1
  else
    held[#held + 1] = 0
  end
end
return held

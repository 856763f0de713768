-- Mark a partition as stopped, with the reason, or (ARGV[3] == '') let it go on.
-- KEYS 1 f:p; ARGV 1 epoch ('' from an operator, or where there is no fence) 2 offset up to which bad records are let through
-- after a resume 3 reason
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
if ARGV[3] == '' then
  redis.call('HSET', KEYS[1], 'pass_bad_until', ARGV[2])
  redis.call('HDEL', KEYS[1], 'stopped', 'stopped_at')
else
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'stopped', ARGV[3], 'stopped_at', string.format('%.0f', t[1] * 1000000 + t[2]))
end
return 1

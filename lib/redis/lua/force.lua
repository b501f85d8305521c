-- KEYS  1 the lock, 2 its last holder, 3 its line, 4 what this thread has forced
-- ARGV  1 this operation, 2 how long it is remembered
-- The owner that was there; '' for what has none
local done = redis.call('GET', KEYS[4])
if done and done >= ARGV[1] then return '' end
local value = redis.call('MGET', KEYS[1])[1]
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
wake(KEYS[3], KEYS[1])
return owner(value) or ''

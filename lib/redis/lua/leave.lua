-- Who goes without the lock may have been called for it: then the next is.
-- KEYS  1 the lock, 2 its line
-- ARGV  1 who waits no more
-- How many go on waiting
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 and redis.call('EXISTS', KEYS[1]) == 0 then
  wake(KEYS[2], KEYS[1])
end
return redis.call('ZCARD', KEYS[2])

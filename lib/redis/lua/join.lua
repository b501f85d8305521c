-- KEYS  1 the lock, 2 its line
-- ARGV  1 who waits, 2 life of the line
-- {0}: it is free; {1, time left, arrival}
if redis.call('EXISTS', KEYS[1]) == 0 then return {0} end
local _, instant = clock()
local arrival = digits(instant)
enter(KEYS[2], ARGV[1], arrival, ARGV[2])
return {1, redis.call('PTTL', KEYS[1]), arrival}

-- KEYS  1 the lock, 2 its line
-- {value or false, clock in us, who waits and its arrival, ...}
local value = redis.call('GET', KEYS[1])
local _, instant = clock()
local line = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
table.insert(line, 1, digits(instant))
table.insert(line, 1, value and string.sub(value, 1, 400))
return line

-- KEYS  1 the lock, 2 its last holder, 3 its line
-- {value or false, time left, clock, how many wait, whether it expired and was not taken since}
local value = redis.call('GET', KEYS[1])
local now, expired = clock(), 0
if not value then
  local last = redis.call('GET', KEYS[2])
  if last and is_over(last, now) then expired = 1 end
end
return {value and string.sub(value, 1, 400), redis.call('PTTL', KEYS[1]), digits(now),
        redis.call('ZCARD', KEYS[3]), expired}

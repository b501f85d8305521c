-- KEYS  1 the lock, 2 its last holder, 3 its line, 4 whether this owner was given back, 5 what this
--       thread has released
-- ARGV  1 owner, 2 this operation, 3 whether it was asked before, 4 how long it is remembered,
--       5 for how long the owner stays given back, or ''
-- 1: released; 0: it was not ours
local found = redis.call('MGET', KEYS[1], KEYS[2])
local value, last = found[1], found[2]
local done = 0
if owner(value) == ARGV[1] then
  redis.call('DEL', KEYS[1], KEYS[2])
  wake(KEYS[3], KEYS[1])
  done = 1
elseif last_owner(last) == ARGV[1] then
  redis.call('DEL', KEYS[2])
  if not value and is_over(last, clock()) then done = 1 end
end
if ARGV[5] ~= '' then redis.call('SET', KEYS[4], '1', 'PX', ARGV[5]) end
if done == 1 then redis.call('SET', KEYS[5], ARGV[2], 'PX', ARGV[4])
elseif ARGV[3] == '1' and redis.call('GET', KEYS[5]) == ARGV[2] then done = 1 end
return done

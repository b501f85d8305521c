-- KEYS  1 the lock, 2 its last holder, 3 its line
-- ARGV  1 owner, 2 expiry in ms or '', 3 the whole value, or '', 4 how much longer the last holder
--       is remembered, 5 this operation
-- 1: extended; 0: it was not ours; 2: it is over, and nobody had it since: ask with the value;
-- 3: a later one came first
local found = redis.call('MGET', KEYS[1], KEYS[2])
local value, last = found[1], found[2]
local now = clock()
local ours = last_owner(last) == ARGV[1]
if ours and string.sub(last, 67, 82) > ARGV[5] then return 3 end
if owner(value) == ARGV[1] then
  local left = redis.call('PTTL', KEYS[1])
  if ARGV[2] == '' then redis.call('PERSIST', KEYS[1])
  else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  if ARGV[2] ~= '' and (left < 0 or tonumber(ARGV[2]) < left) then wake_all(KEYS[3], KEYS[1]) end
elseif value or not ours or not is_over(last, now) then
  return 0
elseif ARGV[3] == '' then
  return 2
else
  local set = {'SET', KEYS[1], ARGV[3], 'NX'}
  if ARGV[2] ~= '' then set[5], set[6] = 'PX', ARGV[2] end
  if not redis.call(unpack(set)) then return 0 end
end
local deadline, keep = NEVER, tonumber(ARGV[4])
if ARGV[2] ~= '' then deadline, keep = now + ARGV[2], keep + ARGV[2] end
local rest = ours and string.sub(last, 83) or ' ' .. token(value) .. ' 0 0 0 0'
redis.call('SET', KEYS[2], digits(deadline) .. ' ' .. ARGV[1] .. ' ' .. ARGV[5] .. rest,
           'PX', string.format('%.0f', keep))
return 1

-- KEYS  1 the lock, 2 its last holder, 3 its line, 4 whether this owner was given back, 5 the token
-- ARGV  1 owner, 2 expiry in ms or '', 3 and 4 the value before and after TOKEN SINCE, 5 pid,
--       6 whether it was asked before, 7 who waits for it, or '', 8 its arrival, or '',
--       9 life of the line, 10 how much longer the last holder is remembered,
--       11 '0': a lease, '1': a value that overwrites, '2': a value where there is none,
--       12 for how long an owner stays given back
-- {1, token, since, how, token', pid', whether it was had before, owner that was overwritten}
-- {0, value, time left, clock, how many wait, arrival}
-- {2}: it was given back before it came
local found = redis.call('MGET', KEYS[1], KEYS[2], KEYS[4])
local value, last, given_back = found[1], found[2], found[3]
local now, instant = clock()
local set_only = ARGV[11] ~= '0'

-- What was asked before may come once more, when nobody thinks of it: then it has to do nothing.
local function close() if ARGV[6] == '1' then redis.call('SET', KEYS[4], '1', 'PX', ARGV[12]) end end

local how, token2, pid2 = '0', '0', '0'
if last_owner(last) == ARGV[1] then
  how, token2, pid2 = string.match(last, '(%d+) (%d+) (%d+)$', 84)
elseif last and not value and is_over(last, now) then
  how, token2, pid2 = '1', string.match(last, '^(%d+) (%d+)', 84)
end
if owner(value) == ARGV[1] then
  if set_only then close() end
  return {1, token(value), string.sub(value, 83, 98), how, token2, pid2, 1, false}
end
if value and ARGV[11] ~= '1' then
  local arrival = ARGV[8]
  if ARGV[7] ~= '' then
    if arrival == '' then arrival = digits(instant) end
    enter(KEYS[3], ARGV[7], arrival, ARGV[9])
  end
  close()
  return {0, string.sub(value, 1, 400), redis.call('PTTL', KEYS[1]), digits(now),
          redis.call('ZCARD', KEYS[3]), arrival}
end
if given_back then return {2} end

-- A server that has lost what it had begins at its clock, above all that it gave out before.
local number = redis.call('INCR', KEYS[5])
if number == 1 then
  number = now * 1024
  redis.call('SET', KEYS[5], string.format('%.0f', number))
end
number = digits(number)
local since = digits(now)
local deadline, keep = NEVER, tonumber(ARGV[10])
local set = {'SET', KEYS[1], ARGV[3] .. number .. ' ' .. since .. ARGV[4]}
if ARGV[2] ~= '' then
  set[4], set[5] = 'PX', ARGV[2]
  deadline, keep = now + ARGV[2], keep + ARGV[2]
end
if ARGV[11] ~= '1' then set[#set + 1] = 'NX' end
if not redis.call(unpack(set)) then
  return redis.error_reply('WRONGTYPE the key of the lock holds something that is no value')
end
redis.call('SET', KEYS[2], digits(deadline) .. ' ' .. ARGV[1] .. ' ' .. digits(0) .. ' ' .. number ..
           ' ' .. ARGV[5] .. ' ' .. how .. ' ' .. token2 .. ' ' .. pid2,
           'PX', string.format('%.0f', keep))
if ARGV[7] ~= '' then redis.call('ZREM', KEYS[3], ARGV[7]) end
if value then wake_all(KEYS[3], KEYS[1]) end
if set_only then close() end
return {1, number, since, how, token2, pid2, 0, owner(value)}

-- Calling who waits.  A process that nobody listens in any more is out of the line.
local function call(who, key)
  return redis.call('PUBLISH', 'cachify:wake:' .. string.sub(who, 1, 32),
                    string.sub(who, 34, 49) .. ' ' .. key) > 0
end
-- The first is taken out of the line: if it finds the lock taken it comes back to its old place.
local function wake(line, key)
  while true do
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    if not first then return end
    redis.call('ZREM', line, first)
    if call(first, key) then return end
  end
end
-- All look again, and stay in the line: the lock is held, but for another time than they know.
local function wake_all(line, key)
  for _, who in ipairs(redis.call('ZRANGE', line, 0, -1)) do
    if not call(who, key) then redis.call('ZREM', line, who) end
  end
end
-- Into the line, at the place of its first arrival; a line that nobody comes back to goes.
local function enter(line, who, arrival, life)
  redis.call('ZADD', line, 'NX', arrival, who)
  if redis.call('PTTL', line) < tonumber(life) then redis.call('PEXPIRE', line, life) end
end

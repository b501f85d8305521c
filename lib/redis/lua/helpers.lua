-- What all scripts begin with.
--
-- A lease's value:  \x80\x03B....cachify1 OWNER TOKEN SINCE PID ...
--   OWNER has 48 hexadecimal digits, TOKEN and SINCE (the server's clock, ms) 16 decimal ones.
-- The last holder:  DEADLINE OWNER OPERATION TOKEN PID HOW TOKEN' PID'
--   DEADLINE and OPERATION (its last extend) have 16 digits; the last three are how it got the lock.
-- Who waits:        CHANNEL:NUMBER ...
--   32 and 16 hexadecimal digits.
--
-- Numbers are doubles: whole up to 2^53, for which 16 digits are enough.  A script sees one time
-- throughout, so that what it writes and when the server lets a key expire agree to 1 ms.
local NEVER = 9007199254740991
local function digits(n) return string.format('%016.0f', n) end
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000), t[1] * 1000000 + t[2]
end
local function owner(value) return value and string.sub(value, 17, 64) end
local function token(value) return string.sub(value, 66, 81) end
local function last_owner(last) return last and string.sub(last, 18, 65) end
local function is_over(last, now) return tonumber(string.sub(last, 1, 16)) <= now end

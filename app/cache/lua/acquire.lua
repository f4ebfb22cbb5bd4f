-- One permit of the fleet's request budget, on the server's own clock.
-- KEYS: permits, state   ARGV: permits in a window, name of the new permit, us after which its holder is taken for dead
-- Answer: 0 for a permit, else the microseconds to wait before asking again.
--
-- A permit counts from its grant until a whole window after it was given back, so until a window after the request it
-- was for has certainly arrived. However long a request was delayed on its way, no window holds more than allowed.

local permits, state = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local paused_until = tonumber(redis.call('HGET', state, 'paused_until_us') or 0)
if paused_until > now then return paused_until - now end

redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
if redis.call('ZCARD', permits) < tonumber(ARGV[1]) then
  redis.call('ZADD', permits, now + ARGV[3], ARGV[2])
  redis.call('PEXPIRE', permits, 3600000)
  redis.call('HINCRBY', state, 'granted', 1)
  return 0
end
local first = tonumber(redis.call('ZRANGE', permits, 0, 0, 'WITHSCORES')[2])
return math.max(1000, math.min(first - now, 50000)) -- one that is in use may be given back sooner than it runs out

-- Grants one permit of the shared request budget, by the server's clock.
-- KEYS: permits, state
-- ARGV: permits per window, name of the new permit, us after which its holder is considered dead, us between grants,
--       us per window
-- Returns 0 if granted, else the microseconds to wait before the next try.
--
-- A permit counts from its grant until a whole window after its release. By then its request arrived at least a window
-- ago. So no window holds more than allowed, however long a request was delayed on its way.
--
-- If nothing is known of the last window (data lost, or clock of this server set), nothing is granted for one window.

local permits, state = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', state, 'paused_until_us', 'next_us', 'seen_us')
local seen = tonumber(known[3] or 0)
redis.call('HSET', state, 'seen_us', now)
if now < seen or now - seen > 3600000000 then
  redis.call('DEL', permits)
  redis.call('HDEL', state, 'paused_until_us')
  redis.call('HSET', state, 'next_us', now + ARGV[5])
  return tonumber(ARGV[5])
end
local not_before = math.max(tonumber(known[1] or 0), tonumber(known[2] or 0))
if not_before > now then return not_before - now end

redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
if redis.call('ZCARD', permits) < tonumber(ARGV[1]) then
  redis.call('ZADD', permits, now + ARGV[3], ARGV[2])
  redis.call('PEXPIRE', permits, 3600000)
  redis.call('HSET', state, 'next_us', now + ARGV[4])
  redis.call('HINCRBY', state, 'granted', 1)
  return 0
end
local first = tonumber(redis.call('ZRANGE', permits, 0, 0, 'WITHSCORES')[2])
return math.max(1000, math.min(first - now, 50000)) -- a permit in use may be released before it expires

-- One permit of the fleet's request budget (GCRA without a burst, on the server's own clock).
-- KEYS[1] budget   ARGV: interval between two permits in us, how far a late caller may catch up in us
-- Answer: 0 for a permit, else the microseconds to wait before asking again.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('HMGET', KEYS[1], 'next_us', 'slow')
local next_us, slow = tonumber(state[1] or 0), tonumber(state[2] or 0)

if next_us > now then return next_us - now end

-- After a pause the first permits are further apart: up to four times the interval, shrinking with each.
local interval = tonumber(ARGV[1]) * (1 + slow / 4)
redis.call('HSET', KEYS[1], 'next_us', math.floor(math.max(next_us, now - ARGV[2]) + interval),
  'slow', math.max(0, slow - 1))
redis.call('HINCRBY', KEYS[1], 'granted', 1)
return 0

-- Adds requests. Each is in the queue at most once, at its more urgent place.
-- KEYS: `PARTS` of queue.py   ARGV: ms per step of urgency, '1' to clear uncovered buckets,
--   then for each request: name, urgency in steps, exchange ms before which it must wait ('' for none)

local ready, settling, urgency, uncovered = KEYS[1], KEYS[2], KEYS[5], KEYS[8]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

for i = 3, #ARGV, 3 do
  local request, steps, wait_until = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local known = tonumber(redis.call('HGET', urgency, request) or 1000)
  redis.call('HSET', urgency, request, math.min(known, steps))
  if ARGV[2] == '1' then redis.call('HDEL', uncovered, request) end
  if wait_until == '' then
    redis.call('ZREM', settling, request)
    redis.call('ZADD', ready, 'LT', now + steps * ARGV[1], request)
  elseif not redis.call('ZSCORE', ready, request) then
    redis.call('ZADD', settling, 'LT', wait_until, request)
  end
end
return redis.call('ZCARD', ready)

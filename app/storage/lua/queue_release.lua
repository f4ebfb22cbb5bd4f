-- Releases a leased request.
-- KEYS: leased, delayed, settling, urgency, attempts, failures, ready, uncovered
-- ARGV: request, 'done' | 'retry' | 'settle' | 'postpone' | 'fail', then: - | delay in ms | exchange ms twice | reason
--   (JSON), then its new urgency in steps ('' leaves it)

local request, verb = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', KEYS[1], request)
if ARGV[4] ~= '' then redis.call('HSET', KEYS[4], request, ARGV[4]) end

if verb == 'retry' then
  redis.call('ZADD', KEYS[2], now + ARGV[3], request)
  return redis.call('HINCRBY', KEYS[5], request, 1)
end
if verb ~= 'postpone' then redis.call('HDEL', KEYS[5], request) end
if verb == 'settle' or verb == 'postpone' then
  redis.call('ZADD', KEYS[3], 'LT', ARGV[3], request)
elseif verb == 'fail' then
  redis.call('HSET', KEYS[6], request, ARGV[3])
else
  redis.call('HDEL', KEYS[6], request)
  redis.call('HDEL', KEYS[8], request)
  -- If it was added again during its lease, its urgency still counts.
  if not redis.call('ZSCORE', KEYS[7], request) and not redis.call('ZSCORE', KEYS[2], request)
    and not redis.call('ZSCORE', KEYS[3], request) then
    redis.call('HDEL', KEYS[4], request)
  end
end
return 0

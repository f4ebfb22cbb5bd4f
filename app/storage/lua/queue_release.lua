-- Releases a leased request.
-- KEYS: `PARTS` of queue.py
-- ARGV: request, 'done' | 'retry' | 'settle' | 'postpone' | 'fail', then: - | delay in ms | exchange ms twice | reason
--   (JSON), then its new urgency in steps ('' leaves it)

local ready, settling, delayed, leased = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local urgency, attempts, failures, uncovered = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local request, verb = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', leased, request)
if ARGV[4] ~= '' then redis.call('HSET', urgency, request, ARGV[4]) end

if verb == 'retry' then
  redis.call('ZADD', delayed, now + ARGV[3], request)
  return redis.call('HINCRBY', attempts, request, 1)
end
if verb ~= 'postpone' then redis.call('HDEL', attempts, request) end
if verb == 'settle' or verb == 'postpone' then
  redis.call('ZADD', settling, 'LT', ARGV[3], request)
elseif verb == 'fail' then
  redis.call('HSET', failures, request, ARGV[3])
else
  redis.call('HDEL', failures, request)
  redis.call('HDEL', uncovered, request)
  -- If it was added again during its lease, its urgency still counts.
  if not redis.call('ZSCORE', ready, request) and not redis.call('ZSCORE', delayed, request)
    and not redis.call('ZSCORE', settling, request) then
    redis.call('HDEL', urgency, request)
  end
end
return 0

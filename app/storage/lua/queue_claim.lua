-- Leases the most urgent request that is due.
-- KEYS: `PARTS` of queue.py   ARGV: exchange time in ms, lease in ms, ms per step of urgency
-- Returns the request, or nothing.

local ready, settling, delayed, leased, urgency = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local NEVER_SET_MS = 600000 -- a time this far ahead was written before the clock was set back

local function promote(from, limit, first)
  for _, request in ipairs(redis.call('ZRANGEBYSCORE', from, first or '-inf', limit, 'LIMIT', 0, 1000)) do
    redis.call('ZREM', from, request)
    local steps = tonumber(redis.call('HGET', urgency, request) or 0)
    redis.call('ZADD', ready, 'NX', now + steps * ARGV[3], request)
  end
end

promote(settling, ARGV[1])
promote(delayed, now)
promote(leased, now) -- their leases have expired
promote(delayed, '+inf', now + NEVER_SET_MS)
promote(leased, '+inf', now + NEVER_SET_MS)

while true do
  local first = redis.call('ZPOPMIN', ready)
  if #first == 0 then return false end
  if redis.call('ZSCORE', leased, first[1]) then
    redis.call('ZADD', delayed, now + 100, first[1]) -- added again during its lease: wait for its end
  else
    redis.call('ZADD', leased, now + ARGV[2], first[1])
    return first[1]
  end
end

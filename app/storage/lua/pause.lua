-- Pauses all workers: the exchange responded "too many requests" (429).
-- KEYS: state   ARGV: pause in us that the exchange named (0: none), jitter between 0.5 and 1, the reason
-- Returns the pause in microseconds.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', KEYS[1], 'paused_until_us', 'throttled_in_a_row')
local paused_until, row = tonumber(known[1] or 0), tonumber(known[2] or 0)

-- Responses to requests sent before the pause began do not count.
if now >= paused_until then row = row + 1 end
local pause = tonumber(ARGV[1])
if pause == 0 then pause = math.min(60000000, 1000000 * 2 ^ (row - 1)) * ARGV[2] end
local paused = math.floor(math.max(paused_until, now + pause))

redis.call('HSET', KEYS[1], 'paused_until_us', paused, 'throttled_in_a_row', row, 'slow', 12, 'reason', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'throttled', 1)
return math.max(0, paused - now)

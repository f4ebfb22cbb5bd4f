-- Releases a permit: its request is over, with or without a response.
-- KEYS: permits, state   ARGV: permit, window in us, '1' if the exchange gave a proper response

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local slow = tonumber(redis.call('HGET', KEYS[2], 'slow') or 0)
-- After a pause the first permits count longer: up to four windows, less with each.
redis.call('ZADD', KEYS[1], 'XX', now + math.floor(ARGV[2] * (1 + slow / 4)), ARGV[1])
if slow > 0 then redis.call('HSET', KEYS[2], 'slow', slow - 1) end
if ARGV[3] == '1' then redis.call('HSET', KEYS[2], 'throttled_in_a_row', 0) end
return slow

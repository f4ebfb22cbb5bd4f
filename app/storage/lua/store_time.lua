-- KEYS[1] clock   ARGV[1] exchange time in ms
-- Several processes receive the same clock: the latest time wins, unless it was not confirmed for 10 s.

local time = redis.call('TIME')
local received_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'exchange_ms', 'received_ms')
if known[1] and tonumber(known[1]) > tonumber(ARGV[1]) and received_ms - tonumber(known[2]) < 10000 then
  return tonumber(known[1])
end
redis.call('HSET', KEYS[1], 'exchange_ms', ARGV[1], 'received_ms', received_ms)
return tonumber(ARGV[1])

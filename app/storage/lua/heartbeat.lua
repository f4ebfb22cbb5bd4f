-- KEYS[1] marks of this host   KEYS[2] processes that live, by when they were heard (ms of this server)
-- ARGV: process id, its mark (JSON), seconds for which a host's marks are kept, name of the process, ms after which one is gone

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[5])

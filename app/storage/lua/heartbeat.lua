-- KEYS[1] heartbeats of this host   KEYS[2] running processes, by last heartbeat (ms of this server)
-- ARGV: process id, heartbeat (JSON), seconds to keep a host's heartbeats, process name, ms until a process is gone

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[5])

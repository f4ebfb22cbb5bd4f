-- Puts alert rules and channels into force.
--
-- KEYS[1] the hash   ARGV[1] the text   ARGV[2] when it replaces another: 'always', 'changed' or 'missing'
-- Returns the version and the text that are in force. A version never returns, even if Redis lost the last one.

local known = redis.call('HMGET', KEYS[1], 'version', 'text')
if known[1] and (ARGV[2] == 'missing' or (ARGV[2] == 'changed' and known[2] == ARGV[1])) then return known end
local time = redis.call('TIME')
local version = string.format('%s-%06d-%s', time[1], time[2], string.sub(redis.sha1hex(ARGV[1]), 1, 12))
redis.call('HSET', KEYS[1], 'version', version, 'text', ARGV[1])
return {version, ARGV[1]}

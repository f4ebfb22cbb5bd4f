-- Records the result of a claimed message.
--
-- KEYS[1] waiting   KEYS[2] claimed   KEYS[3] state of the channel   KEYS[4] the alert
-- ARGV[1] message (kind|identity)   ARGV[2] end of the claim in ms
-- ARGV[3] 'sent', 'refuse' (for good), 'skip' (nothing was sent), 'defer', 'retry' or 'disable'
-- ARGV[4] note: the outcome as JSON if it is final, else the reason   ARGV[5] channel name
-- ARGV[6] ms for which the channel pauses   ARGV[7] longest back-off in ms   ARGV[8] the channel's target
-- ARGV[9] why it was refused   ARGV[10] refusals in a row that disable the channel
-- Returns -1 if refusals disabled the channel, else 1 if the caller still held the claim, else 0.

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
local mine = score and tonumber(score) == tonumber(ARGV[2])
local kind = string.match(ARGV[1], '^(%a+)|')
local paused_until = tonumber(redis.call('HGET', KEYS[3], 'paused_until_ms') or 0)

local function pause(ms)
  if now_ms + ms > paused_until then redis.call('HSET', KEYS[3], 'paused_until_ms', now_ms + ms) end
end

local function put_back()
  if mine then
    redis.call('ZREM', KEYS[2], ARGV[1])
    redis.call('ZADD', KEYS[1], 0, ARGV[1])
  end
end

local is_kept = redis.call('EXISTS', KEYS[4]) == 1

local is_disabled = false

if ARGV[3] == 'sent' or ARGV[3] == 'refuse' or ARGV[3] == 'skip' then -- final, even if the claim has expired
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  if is_kept then redis.call('HSET', KEYS[4], 'sent:' .. ARGV[5] .. ':' .. kind, ARGV[4]) end
  redis.call('HINCRBY', KEYS[3], ARGV[3] == 'skip' and 'dropped' or 'done', 1)
  if ARGV[3] == 'sent' then
    redis.call('HDEL', KEYS[3], 'failures', 'refusals', 'disabled', 'trouble')
    pause(tonumber(ARGV[6]))
  elseif ARGV[3] == 'refuse' then
    redis.call('HDEL', KEYS[3], 'failures')
    redis.call('HSET', KEYS[3], 'trouble', ARGV[9])
    is_disabled = redis.call('HINCRBY', KEYS[3], 'refusals', 1) >= tonumber(ARGV[10])
    if is_disabled then redis.call('HSET', KEYS[3], 'disabled', ARGV[9], 'target', ARGV[8]) end
  end
elseif ARGV[3] == 'defer' then
  put_back()
  if is_kept then redis.call('HINCRBY', KEYS[4], 'tries:' .. ARGV[5] .. ':' .. kind, -1) end
  redis.call('HSET', KEYS[3], 'trouble', ARGV[4])
  pause(tonumber(ARGV[6]))
elseif ARGV[3] == 'retry' then
  put_back()
  redis.call('HSET', KEYS[3], 'trouble', ARGV[4])
  if paused_until <= now_ms then -- of several failures at once, one counts
    local failures = redis.call('HINCRBY', KEYS[3], 'failures', 1)
    pause(math.min(tonumber(ARGV[6]) * 2 ^ math.min(failures - 1, 30), tonumber(ARGV[7])))
  end
elseif ARGV[3] == 'disable' then
  put_back()
  redis.call('HSET', KEYS[3], 'disabled', ARGV[4], 'target', ARGV[8], 'trouble', ARGV[4])
end
if is_disabled then return -1 end
return mine and 1 or 0

-- Claims the next message of a channel. No other worker gets it until the claim expires.
--
-- KEYS[1] waiting   KEYS[2] claimed   KEYS[3] state of the channel
-- ARGV[1] maximum of claimed messages   ARGV[2] ms of a claim   ARGV[3] the channel's target
-- ARGV[4] channel name   ARGV[5] the message to claim; empty for the next one
-- Returns nothing, or kind, id, end of the claim in ms, tries so far, Redis' time in ms, the alert's fields.

local ALERT, LOOK_AT = 'cw:2:alert:', 50
local NEVER_SET_MS = 7200000 -- a time this far ahead was written before the clock was set back
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local state = redis.call('HMGET', KEYS[3], 'disabled', 'target', 'paused_until_ms')
if state[1] and state[2] == ARGV[3] then return {} end
local paused_ms = tonumber(state[3] or 0) - now_ms
if paused_ms > 0 and paused_ms < NEVER_SET_MS then return {} end

local function free(first, last)
  for _, message in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], first, last)) do
    redis.call('ZREM', KEYS[2], message)
    redis.call('ZADD', KEYS[1], 0, message)
  end
end
free('-inf', now_ms) -- their claims have expired
free(now_ms + NEVER_SET_MS, '+inf')
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[1]) then return {} end

local function is_pending(message)
  return redis.call('ZSCORE', KEYS[1], message) or redis.call('ZSCORE', KEYS[2], message)
end

-- A withdrawal must wait for the first message of its alert, a restoration also for the withdrawal.
local function must_wait(kind, id)
  return kind ~= 'raised' and (is_pending('raised|' .. id) or (kind == 'restored' and is_pending('withdrawn|' .. id)))
end

local function candidates()
  if ARGV[5] == '' then return redis.call('ZRANGE', KEYS[1], 0, LOOK_AT - 1) end
  return redis.call('ZSCORE', KEYS[1], ARGV[5]) and {ARGV[5]} or {}
end

for _, message in ipairs(candidates()) do
  local kind, id = string.match(message, '^(%a+)|(.*)$')
  if redis.call('EXISTS', ALERT .. id) == 0 then
    redis.call('ZREM', KEYS[1], message)
  elseif not must_wait(kind, id) then
    local until_ms = now_ms + tonumber(ARGV[2])
    redis.call('ZREM', KEYS[1], message)
    redis.call('ZADD', KEYS[2], until_ms, message)
    local tries = redis.call('HINCRBY', ALERT .. id, 'tries:' .. ARGV[4] .. ':' .. kind, 1)
    return {kind, id, until_ms, tries, now_ms, redis.call('HGETALL', ALERT .. id)}
  end
end
return {}

-- Latest indicator values of many series, and in the same step the alerts that follow from them:
-- a value replaces one that was computed from older candles.
--
-- KEYS[1] event stream   KEYS[2] index of alerts   KEYS[3..] one hash a series
-- ARGV[1] entries kept in the event stream   ARGV[2] alerts kept   ARGV[3] exchange time in s
-- then for each series: revision, bucket start in s, channel, series name, JSON, '1' if it is watched, and if so
--   floor, newest bar evaluated, basis, '1' at the first look, first bar of this look, index of the series' alerts,
--   number of alerts, for each: id, bucket start, bucket end, event, JSON, delivery channels (comma separated)
--   number of verdicts on older alerts, for each: id, '1' if it still holds
-- Answer for each series: 1 where the value is new, then the number of messages that were put up for delivery.

local EVENTS, INDEX = KEYS[1], KEYS[2]
local ALERT, DELIVERIES = 'cw:1:alert:', 'cw:1:deliveries:'
local arg = 3
local function take()
  arg = arg + 1
  return ARGV[arg]
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local messages = 0

local function announce(kind, name, data)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', ARGV[1], '*', 'kind', kind, 'series', name, 'data', data)
end

local function put_up(kind, id, channels)
  for channel in string.gmatch(channels, '[^,]+') do
    redis.call('SADD', DELIVERIES .. 'channels', channel)
    redis.call('ZADD', DELIVERIES .. channel .. ':waiting', 'NX', now_ms, kind .. '|' .. id)
    messages = messages + 1
  end
end

local function change_state(id, state, name)
  local data = '{"id":"' .. id .. '","state":"' .. state .. '"}'
  announce('alert_state', name, data)
  redis.call('PUBLISH', 'alert:' .. name, data)
  if redis.call('HSETNX', ALERT .. id, 'said:' .. state, now_ms) == 1 then -- once, however often it changes
    put_up(state, id, redis.call('HGET', ALERT .. id, 'channels') or '')
  end
end

local function judge(id, holds, name)
  if redis.call('EXISTS', ALERT .. id) == 0 then return end
  if holds then
    if redis.call('HDEL', ALERT .. id, 'withdrawn') == 1 then change_state(id, 'restored', name) end
  elseif redis.call('HSETNX', ALERT .. id, 'withdrawn', ARGV[3]) == 1 then
    change_state(id, 'withdrawn', name)
  end
end

local function raise(alert, series_index, name)
  redis.call('HSET', ALERT .. alert.id, 'data', alert.data, 'event', alert.event, 'channels', alert.channels,
    'raised_ms', now_ms, 'index', series_index)
  redis.call('ZADD', INDEX, alert.finish, alert.id)
  redis.call('ZADD', series_index, alert.start, alert.id)
  announce('alert', name, alert.data)
  redis.call('PUBLISH', 'alert:' .. name, alert.data)
  put_up('raised', alert.id, alert.channels)
end

local function forget_oldest()
  local id = redis.call('ZPOPMIN', INDEX)[1]
  local known = redis.call('HMGET', ALERT .. id, 'index', 'channels')
  if known[1] then redis.call('ZREM', known[1], id) end
  for channel in string.gmatch(known[2] or '', '[^,]+') do
    for _, kind in ipairs({'raised|', 'withdrawn|', 'restored|'}) do
      redis.call('ZREM', DELIVERIES .. channel .. ':waiting', kind .. id)
    end
  end
  redis.call('DEL', ALERT .. id)
end

-- Reads the arguments of one watched series; acts on them if its value was accepted. `known`: floor and evaluated as
-- they are stored. Returns what is to be stored now.
local function watch(name, accepted, known)
  local floor, evaluated, basis, is_first, from, series_index = take(), take(), take(), take(), take(), take()
  local alerts, verdicts = {}, {}
  for i = 1, tonumber(take()) do
    alerts[i] = {id = take(), start = take(), finish = take(), event = take(), data = take(), channels = take()}
  end
  for i = 1, tonumber(take()) do
    verdicts[i] = {id = take(), holds = take() == '1'}
  end
  if not accepted then return end
  if is_first == '1' then
    if not known.floor then return 'floor', floor, 'evaluated', evaluated, 'basis', basis end
    return
  end

  local found = {}
  for _, alert in ipairs(alerts) do
    found[alert.id] = alert.event
    -- A bar that another worker has looked at since, and left behind, is old: nothing new is said of it.
    local is_old = known.evaluated and tonumber(alert.start) < tonumber(known.evaluated)
    if redis.call('EXISTS', ALERT .. alert.id) == 0 and not is_old then raise(alert, series_index, name) end
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', series_index, from, '+inf')) do
    judge(id, found[id] == redis.call('HGET', ALERT .. id, 'event'), name)
  end
  for _, verdict in ipairs(verdicts) do judge(verdict.id, verdict.holds, name) end
  if known.evaluated and tonumber(known.evaluated) > tonumber(evaluated) then evaluated = known.evaluated end
  return 'evaluated', evaluated, 'basis', basis
end

local answer = {}
for k = 3, #KEYS do
  local revision, start, channel, name, data = take(), take(), take(), take(), take()
  local is_watched = take() == '1'
  local known = redis.call('HMGET', KEYS[k], 'revision', 'floor', 'evaluated')
  local accepted = not known[1] or tonumber(known[1]) < tonumber(revision)
  messages = 0
  if accepted then
    announce('indicator', name, data)
    redis.call('PUBLISH', channel, data)
  end
  local watched = is_watched and {watch(name, accepted, {floor = known[2], evaluated = known[3]})} or {}
  if accepted then
    redis.call('HSET', KEYS[k], 'revision', revision, 'start', start, 'data', data, unpack(watched))
  end
  answer[#answer + 1] = accepted and 1 or 0
  answer[#answer + 1] = messages
end
while redis.call('ZCARD', INDEX) > tonumber(ARGV[2]) do forget_oldest() end
return answer

-- Latest indicator values of many series, and in the same step the alerts that follow from them: a value replaces one
-- that was computed from older candles, or of the same ones from fewer. What was read before a time at which the clock
-- has arrived since is late, and to be read again: there may be candles that it lacks, although its revision counts them.
--
-- KEYS[1] event stream   KEYS[2] index of alerts   KEYS[3] the exchange's clock   KEYS[4..] one hash a series
-- ARGV[1] entries kept in the event stream   ARGV[2] alerts kept   ARGV[3] exchange time in s
-- ARGV[4] for each series, packed: revision (u64); then, all u32, bucket start in s, when it is late in s (0: never),
--   whether it is watched; and, zeros if it is not: floor, newest bar evaluated, oldest bar pending, three numbers of
--   what they rest on, whether this is the first look, rules of the series (a line of ARGV[5], from 1), number of ranges
--   of bars judged, of alerts, of verdicts on older alerts
-- ARGV[5] sets of rules, one a line: each rule as `name:definition`, between spaces
-- ARGV[6..] the JSON of each series; then, series by series,
--   for each range: first and last bar judged
--   for each alert: id, bucket start, bucket end, event, JSON, delivery channels (comma separated)
--   for each verdict: id, '1' if it still holds
-- Answer for each series: 1 where the value is new, 2 where it is late, then the number of messages that were put up for
-- delivery; behind those of all series the exchange's time in s.

local call, unpack_row, match = redis.call, struct.unpack, string.match
local EVENTS, INDEX = KEYS[1], KEYS[2]
local ALERT, ALERTS, DELIVERIES = 'cw:2:alert:', 'cw:2:alerts:', 'cw:2:deliveries:'
local ROW = 64
local REFUSED, NEW, LATE = 0, 1, 2
local arg = 5 + #KEYS - 3 -- behind the JSON of all series
local function take()
  arg = arg + 1
  return ARGV[arg]
end

local time = call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local clock_s = math.floor(tonumber(call('HGET', KEYS[3], 'exchange_ms') or 0) / 1000)
local messages = 0

local function announce(kind, name, data)
  call('XADD', EVENTS, '*', 'kind', kind, 'series', name, 'data', data)
end

local function put_up(kind, id, channels)
  for channel in string.gmatch(channels, '[^,]+') do
    call('SADD', DELIVERIES .. 'channels', channel)
    call('ZADD', DELIVERIES .. channel .. ':waiting', 'NX', now_ms, kind .. '|' .. id)
    messages = messages + 1
  end
end

local function change_state(id, state, name)
  local data = '{"id":"' .. id .. '","state":"' .. state .. '"}'
  announce('alert_state', name, data)
  call('PUBLISH', 'alert:' .. name, data)
  if call('HSETNX', ALERT .. id, 'said:' .. state, now_ms) == 1 then -- once, however often it changes
    put_up(state, id, call('HGET', ALERT .. id, 'channels') or '')
  end
end

local function judge(id, holds, name)
  if call('EXISTS', ALERT .. id) == 0 then return end
  if holds then
    if call('HDEL', ALERT .. id, 'withdrawn') == 1 then change_state(id, 'restored', name) end
  elseif call('HSETNX', ALERT .. id, 'withdrawn', ARGV[3]) == 1 then
    change_state(id, 'withdrawn', name)
  end
end

local function raise(alert, series_index, name)
  call('HSET', ALERT .. alert.id, 'data', alert.data, 'event', alert.event, 'channels', alert.channels,
    'raised_ms', now_ms, 'index', series_index)
  call('ZADD', INDEX, alert.finish, alert.id)
  call('ZADD', series_index, alert.start, alert.id)
  announce('alert', name, alert.data)
  call('PUBLISH', 'alert:' .. name, alert.data)
  put_up('raised', alert.id, alert.channels)
end

-- The bar of an alert shows another event of its rule than was known at first, as after a gap before it was filled.
local function change_event(alert, name)
  call('HSET', ALERT .. alert.id, 'data', alert.data, 'event', alert.event)
  call('HDEL', ALERT .. alert.id, 'withdrawn')
  change_state(alert.id, 'restored', name)
end

local function forget_oldest()
  local id = call('ZPOPMIN', INDEX)[1]
  local known = call('HMGET', ALERT .. id, 'index', 'channels')
  if known[1] then call('ZREM', known[1], id) end
  for channel in string.gmatch(known[2] or '', '[^,]+') do
    for _, kind in ipairs({'raised|', 'withdrawn|', 'restored|'}) do
      call('ZREM', DELIVERIES .. channel .. ':waiting', kind .. id)
    end
  end
  call('DEL', ALERT .. id)
end

-- Whether the rule of a stored alert still is one of the series, with the same definition. If not, nobody can say
-- whether the alert holds.
local function is_ruled(id, rules)
  local fact = cjson.decode(call('HGET', ALERT .. id, 'data') or '{}')
  return string.find(rules, ' ' .. (fact.rule or '') .. ':' .. (fact.definition or '') .. ' ', 1, true) ~= nil
end

-- Reads what one look at a series found.
local function take_look(row)
  local judged, alerts, verdicts = {}, {}, {}
  for i = 1, row.judged do
    judged[i] = {first = take(), last = take()}
  end
  for i = 1, row.alerts do
    alerts[i] = {id = take(), start = take(), finish = take(), event = take(), data = take(), channels = take()}
  end
  for i = 1, row.verdicts do
    verdicts[i] = {id = take(), holds = take() == '1'}
  end
  return judged, alerts, verdicts
end

local function stored_of(row)
  return 'evaluated', row.evaluated, 'pending', row.pending, 'first', row.first, 'basis', row.basis, 'recent', row.recent
end

-- Acts on one look at a watched series, if its value was accepted. `known` is what is stored. Returns what is to be
-- stored now.
local function watch(name, series_index, row, accepted, known)
  local judged, alerts, verdicts = take_look(row)
  if not accepted then return end
  if row.is_first then
    if not known.floor then return 'floor', row.floor, stored_of(row) end
    return
  end

  local found = {}
  for _, alert in ipairs(alerts) do
    found[alert.id] = alert.event
    -- A bar that another worker has looked at since, and left behind, is old: nothing new is said of it.
    local is_old = known.pending and tonumber(alert.start) < known.pending
    local event = call('HGET', ALERT .. alert.id, 'event')
    if not event and not is_old then raise(alert, series_index, name) end
    if event and event ~= alert.event and not is_old then change_event(alert, name) end
  end
  for _, range in ipairs(judged) do
    for _, id in ipairs(call('ZRANGEBYSCORE', series_index, range.first, range.last)) do
      if is_ruled(id, row.rules) then judge(id, found[id] == call('HGET', ALERT .. id, 'event'), name) end
    end
  end
  for _, verdict in ipairs(verdicts) do judge(verdict.id, verdict.holds, name) end
  row.evaluated = math.max(row.evaluated, known.evaluated or 0)
  row.pending = math.max(row.pending, known.pending or 0)
  return stored_of(row)
end

local rules = {}
for line in string.gmatch(ARGV[5], '[^\n]+') do rules[#rules + 1] = line end

local function watched_row(i)
  local floor, evaluated, pending, first, basis, recent, is_first, set, judged, alerts, verdicts =
    unpack_row('<I4I4I4I4I4I4I4I4I4I4I4', ARGV[4], i * ROW + 21)
  return {floor = floor, evaluated = evaluated, pending = pending, first = first, basis = basis, recent = recent,
    is_first = is_first == 1, rules = rules[set], judged = judged, alerts = alerts, verdicts = verdicts}
end

local function compared(known_revision, known_start, revision, start, late)
  if late > 0 and late <= clock_s then return LATE end
  if not known_revision or tonumber(known_revision) < revision then return NEW end
  if tonumber(known_revision) == revision and tonumber(known_start) < start then return NEW end
  return REFUSED
end

local answer = {}
for i = 0, #KEYS - 4 do
  local key, data = KEYS[4 + i], ARGV[6 + i]
  local pair, timeframe, what = match(key, '{(.*)}(.*):(.*)$')
  local name = pair .. timeframe
  local revision, start, late, is_watched = unpack_row('<I8I4I4I4', ARGV[4], i * ROW + 1)
  local known = call('HMGET', key, 'revision', 'start', 'floor', 'evaluated', 'pending')
  local row = is_watched == 1 and watched_row(i)
  local is_lost = row and not row.is_first and not known[3] -- it was read before Redis lost its data
  local verdict = is_lost and REFUSED or compared(known[1], known[2], revision, start, late)
  local accepted = verdict == NEW
  messages = 0
  if accepted then
    announce('indicator', name, data)
    call('PUBLISH', 'indicator:' .. name .. ':' .. what, data)
  end
  local watched = row and {watch(name, ALERTS .. '{' .. pair .. '}' .. timeframe, row, accepted,
    {floor = known[3], evaluated = tonumber(known[4] or nil), pending = tonumber(known[5] or known[4] or nil)})} or {}
  if accepted then
    call('HSET', key, 'revision', string.format('%.0f', revision), 'start', start, 'data', data, unpack(watched))
  end
  answer[#answer + 1] = verdict
  answer[#answer + 1] = messages
end
while call('XTRIM', EVENTS, 'MAXLEN', '~', ARGV[1]) > 0 do end -- one trims only so many
while call('ZCARD', INDEX) > tonumber(ARGV[2]) do forget_oldest() end
answer[#answer + 1] = clock_s
return answer

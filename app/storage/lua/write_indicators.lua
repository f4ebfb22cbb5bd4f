-- Uses alerts.lua
-- Stores the latest indicator values of many series and, in the same step, the alerts that follow from them. A value
-- replaces one of older candles, or of fewer of the same candles. A value is late if the exchange's clock has reached
-- the time from which on it may lack candles, although its revision counts them; or if its alerts were evaluated by
-- rules that are no longer in force. It is to be computed again.
--
-- Only the rules that evaluate a bar first raise alerts for it, and later ones with the same name and definition.
--
-- KEYS[1] event stream   KEYS[2] index of alerts   KEYS[3] the exchange's clock   KEYS[4] the rules in force
-- KEYS[5..] one hash per series
-- ARGV[1] entries kept in the event stream   ARGV[2] alerts kept   ARGV[3] exchange time in s
-- ARGV[4] for each series, packed: revision (u64); then, all u32, bucket start in s, when it is late in s (0: never),
--   whether its alerts are evaluated; and, zeros if they are not: baseline, newest bar evaluated, oldest bar pending,
--   three numbers of the fingerprint of their candles, whether this is the first evaluation, rules of the series (a line
--   of ARGV[5], from 1), number of ranges of bars judged, of alerts, of verdicts on older alerts
-- ARGV[5] sets of rules, one per line: each rule as `name:definition`, between spaces
-- ARGV[6] version of the rules that evaluated the alerts; empty if they never change
-- ARGV[7..] the JSON of each series; then, series by series,
--   for each range: first and last bar judged
--   for each alert: id, bucket start, bucket end, event, JSON, delivery channels (comma separated)
--   for each verdict: id, '1' if it still holds
-- Answer for each series: 1 if the value is new, 2 if it is late, then the number of messages put up for delivery; at the
-- end the exchange's time in s.

local call, unpack_row, match = redis.call, struct.unpack, string.match
local EVENTS, INDEX = KEYS[1], KEYS[2]
local ROW = 64
local REFUSED, NEW, LATE = 0, 1, 2
local arg = 6 + #KEYS - 4 -- behind the JSON of all series
local function next_arg()
  arg = arg + 1
  return ARGV[arg]
end

local time = call('TIME')
local clock_s = math.floor(tonumber(call('HGET', KEYS[3], 'exchange_ms') or 0) / 1000)
local book = alert_book(EVENTS, INDEX, time[1] * 1000 + math.floor(time[2] / 1000), ARGV[3])
local is_outdated = ARGV[6] ~= '' and call('HGET', KEYS[4], 'version') ~= ARGV[6]
local rules = {}
for line in string.gmatch(ARGV[5], '[^\n]+') do rules[#rules + 1] = line end

local function read_cursor(i)
  local baseline, evaluated, pending, first, old, recent, is_first, set, judged, alerts, verdicts =
    unpack_row('<I4I4I4I4I4I4I4I4I4I4I4', ARGV[4], i * ROW + 21)
  return {baseline = baseline, evaluated = evaluated, pending = pending, first = first, old = old, recent = recent,
    is_first = is_first == 1, rules = rules[set] or '', judged = judged, alerts = alerts, verdicts = verdicts}
end

local function read_evaluation(cursor)
  local judged, alerts, verdicts = {}, {}, {}
  for i = 1, cursor.judged do
    judged[i] = {first = next_arg(), last = next_arg()}
  end
  for i = 1, cursor.alerts do
    alerts[i] = {id = next_arg(), start = next_arg(), finish = next_arg(), event = next_arg(), data = next_arg(),
      channels = next_arg()}
  end
  for i = 1, cursor.verdicts do
    verdicts[i] = {id = next_arg(), holds = next_arg() == '1'}
  end
  return {judged = judged, alerts = alerts, verdicts = verdicts, rules = cursor.rules}
end

-- Bars before `fresh` were first evaluated by other rules, of which `kept` still are rules: the changes by this cursor.
-- known: what is stored.
local function first_rules(cursor, known)
  if not known.rules or known.rules == cursor.rules then return known.kept, known.fresh end
  local is_mixed = known.fresh and known.fresh > (known.pending or 0) -- some of the open bars have still earlier rules
  local earlier, kept = is_mixed and known.kept or known.rules, ' '
  for rule in string.gmatch(cursor.rules, '%S+') do
    if string.find(earlier, ' ' .. rule .. ' ', 1, true) then kept = kept .. rule .. ' ' end
  end
  return kept, (known.evaluated or 0) + 1
end

-- Fields and values of the stored cursor, after an evaluation. known: what is stored.
local function advanced(cursor, known)
  local fields = {'evaluated', math.max(cursor.evaluated, known.evaluated or 0), 'pending',
    math.max(cursor.pending, known.pending or 0), 'first', cursor.first, 'old', cursor.old, 'recent', cursor.recent}
  if cursor.is_first then
    fields[#fields + 1], fields[#fields + 2] = 'baseline', cursor.baseline
  end
  if known.rules ~= cursor.rules then
    local kept, fresh = first_rules(cursor, known)
    for _, value in ipairs({'rules', cursor.rules, 'kept', kept or '', 'fresh', fresh or 0}) do
      fields[#fields + 1] = value
    end
  end
  return fields
end

local function compared(known_revision, known_start, revision, start, late)
  if late > 0 and late <= clock_s then return LATE end
  if not known_revision or tonumber(known_revision) < revision then return NEW end
  if tonumber(known_revision) == revision and tonumber(known_start) < start then return NEW end
  return REFUSED
end

local answer = {}
for i = 0, #KEYS - 5 do
  local key, data = KEYS[5 + i], ARGV[7 + i]
  local pair, timeframe, what = match(key, '{(.*)}(.*):(.*)$')
  local series = {name = pair .. timeframe, index = INDEX .. ':{' .. pair .. '}' .. timeframe}
  local revision, start, late, is_evaluated = unpack_row('<I8I4I4I4', ARGV[4], i * ROW + 1)
  local stored = call('HMGET', key, 'revision', 'start', 'baseline', 'evaluated', 'pending', 'rules', 'kept', 'fresh')
  local known = {baseline = stored[3], evaluated = tonumber(stored[4] or nil), pending = tonumber(stored[5] or nil),
    rules = stored[6], kept = stored[7], fresh = tonumber(stored[8] or nil)}
  local cursor = is_evaluated == 1 and read_cursor(i)
  local evaluation = cursor and read_evaluation(cursor)
  local is_lost = cursor and not cursor.is_first and not known.baseline -- it was read before Redis lost its data
  local verdict = is_lost and REFUSED or cursor and is_outdated and LATE or
    compared(stored[1], stored[2], revision, start, late)
  book.messages = 0
  if verdict == NEW then
    call('XADD', EVENTS, '*', 'kind', 'indicator', 'series', series.name, 'data', data)
    call('PUBLISH', 'indicator:' .. series.name .. ':' .. what, data)
    local fields = {}
    if cursor and not cursor.is_first then
      evaluation.kept, evaluation.fresh = first_rules(cursor, known)
      book.store(series, evaluation, known.pending)
      fields = advanced(cursor, known)
    elseif cursor and not known.baseline then
      fields = advanced(cursor, {})
    end
    call('HSET', key, 'revision', string.format('%.0f', revision), 'start', start, 'data', data, unpack(fields))
  end
  answer[#answer + 1] = verdict
  answer[#answer + 1] = book.messages
end
while call('XTRIM', EVENTS, 'MAXLEN', '~', ARGV[1]) > 0 do end -- one trims only so many
book.bound(tonumber(ARGV[2]))
answer[#answer + 1] = clock_s
return answer

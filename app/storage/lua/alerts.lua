-- The life cycle of an alert: raised, withdrawn, restored, forgotten. Prepended to scripts that change alerts.
--
-- An alert is a hash: the fact as JSON, its event, its channels, whether it is withdrawn, which states were reported.

-- events: key of the event stream   index: key of all alerts, by the end of their bar
-- now_ms: Redis' time   exchange_s: the exchange's time
local function alert_book(events, index, now_ms, exchange_s)
  local call = redis.call
  local prefix = string.match(index, '^(.*)alerts$')
  local book = {messages = 0} -- put up for delivery

  local function alert_key(id) return prefix .. 'alert:' .. id end
  local function waiting_key(channel) return prefix .. 'deliveries:' .. channel .. ':waiting' end

  local function announce(kind, series, data)
    call('XADD', events, '*', 'kind', kind, 'series', series.name, 'data', data)
    call('PUBLISH', 'alert:' .. series.name, data)
  end

  local function put_up(kind, id, channels)
    for channel in string.gmatch(channels, '[^,]+') do
      call('SADD', prefix .. 'deliveries:channels', channel)
      call('ZADD', waiting_key(channel), 'NX', now_ms, kind .. '|' .. id)
      book.messages = book.messages + 1
    end
  end

  local function change_state(id, state, series)
    announce('alert_state', series, '{"id":"' .. id .. '","state":"' .. state .. '"}')
    if call('HSETNX', alert_key(id), 'said:' .. state, now_ms) == 1 then -- once, however often it changes
      put_up(state, id, call('HGET', alert_key(id), 'channels') or '')
    end
  end

  local function judge(id, holds, series)
    if call('EXISTS', alert_key(id)) == 0 then return end
    if holds then
      if call('HDEL', alert_key(id), 'withdrawn') == 1 then change_state(id, 'restored', series) end
    elseif call('HSETNX', alert_key(id), 'withdrawn', exchange_s) == 1 then
      change_state(id, 'withdrawn', series)
    end
  end

  local function raise(alert, series)
    call('HSET', alert_key(alert.id), 'data', alert.data, 'event', alert.event, 'channels', alert.channels,
      'raised_ms', now_ms, 'index', series.index)
    call('ZADD', index, alert.finish, alert.id)
    call('ZADD', series.index, alert.start, alert.id)
    announce('alert', series, alert.data)
    put_up('raised', alert.id, alert.channels)
  end

  -- The bar of an alert shows another event of its rule than at first, for example after a gap before it was filled.
  local function change_event(alert, series)
    call('HSET', alert_key(alert.id), 'data', alert.data, 'event', alert.event)
    call('HDEL', alert_key(alert.id), 'withdrawn')
    change_state(alert.id, 'restored', series)
  end

  -- Whether the rule of a stored alert still is a rule of the series, with the same definition. If not, the alert stays
  -- as it is.
  local function is_of(data, rules)
    local fact = cjson.decode(data or '{}')
    return string.find(rules, ' ' .. (fact.rule or '') .. ':' .. (fact.definition or '') .. ' ', 1, true) ~= nil
  end

  local function is_ruled(id, rules) return is_of(call('HGET', alert_key(id), 'data'), rules) end

  -- Stores one evaluation of a series (name, index: key of its alerts, by the start of their bar).
  --
  -- alerts: those that hold now   judged: ranges of bars of which these are all   verdicts: on older alerts
  -- fresh: bars before it were first evaluated by other rules, of which kept remain; nil if there were no others
  -- pending_s: bars before it were final before this evaluation: no alert of them is raised now; nil if there is none
  function book.store(series, evaluation, pending_s)
    local found = {}
    for _, alert in ipairs(evaluation.alerts) do
      found[alert.id] = alert.event
      local is_final = pending_s and tonumber(alert.start) < pending_s
      local event = call('HGET', alert_key(alert.id), 'event')
      local is_late = evaluation.fresh and tonumber(alert.start) < evaluation.fresh
      local is_new_to_it = is_late and not is_of(alert.data, evaluation.kept)
      if not event and not is_final and not is_new_to_it then raise(alert, series) end
      if event and event ~= alert.event and not is_final and is_ruled(alert.id, evaluation.rules) then
        change_event(alert, series)
      end
    end
    for _, range in ipairs(evaluation.judged) do
      for _, id in ipairs(call('ZRANGEBYSCORE', series.index, range.first, range.last)) do
        if is_ruled(id, evaluation.rules) then
          judge(id, found[id] == call('HGET', alert_key(id), 'event'), series)
        end
      end
    end
    for _, verdict in ipairs(evaluation.verdicts) do judge(verdict.id, verdict.holds, series) end
  end

  local function forget_oldest()
    local id = call('ZPOPMIN', index)[1]
    local known = call('HMGET', alert_key(id), 'index', 'channels')
    if known[1] then call('ZREM', known[1], id) end
    for channel in string.gmatch(known[2] or '', '[^,]+') do
      for _, kind in ipairs({'raised|', 'withdrawn|', 'restored|'}) do
        call('ZREM', waiting_key(channel), kind .. id)
      end
    end
    call('DEL', alert_key(id))
  end

  -- Forgets the oldest alerts until at most `kept` are left.
  function book.bound(kept)
    while call('ZCARD', index) > kept do forget_oldest() end
  end

  return book
end

-- Compare-and-set of many candles of many series, with their events, in one atomic step.
--
-- KEYS[1]      event stream
-- KEYS[2]      the exchange's clock
-- KEYS[3..]    one ring per series
-- ARGV[1]      entries kept in the event stream
-- ARGV[2]      capacity of a new ring
-- ARGV[3]      for each ring, packed (u32): number of records, bucket length in s, origin in s (2^32 - 1 leaves it),
--              its note, and the origin as it was read
-- ARGV[4]      the records of all rings, packed, 56 bytes each
-- ARGV[5..]    to publish accepted records: payloads (JSON, one per record)
--
-- Returns the outcome of each record; then, as pairs of a record's number (from 0) and bytes, the records that were
-- replaced, or confirmed and contradicted.
--
-- A stored record ahead of the exchange's clock was written when a clock was wrong: any other record replaces it.

local call, pack, unpack, sub, band, floor = redis.call, struct.pack, struct.unpack, string.sub, bit.band, math.floor
local RECORD, TRAILER, AS_IT_IS = 56, 16, 4294967295
local NOTE, FORMING, CLOSED = 0, 1, 2
local EMPTY_BIT, CORRECTED_BIT, PROVISIONAL_BIT, SILENT_BIT, GUARDED_BIT = 4, 8, 16, 32, 64
local REFUSED, UNCHANGED, INSERTED, CORRECTED, CONFIRMED, UPDATED, RESOLVED = 0, 1, 2, 3, 4, 5, 6
local AHEAD_MS = 300000 -- a frame may be ahead of the stored clock, but not by more than this

local clock_ms = tonumber(call('HGET', KEYS[2], 'exchange_ms') or nil) or math.huge

local function allocate(ring, capacity)
  -- A revision never repeats, even after a ring was deleted: it starts at the current time.
  call('SETRANGE', ring, capacity * RECORD, pack('<I8I4I4', call('TIME')[1] * 1000, 0, 0))
end

-- The head of a record. Its values are rarely needed.
local function head(bytes)
  local _, flags, observed = unpack('<I4I4I8', bytes)
  if observed > clock_ms + AHEAD_MS then observed = 0 end
  return {flags = flags, observed = observed, state = band(flags, 3), bytes = bytes}
end

local function values(record)
  local open, high, low, close, volume = unpack('<ddddd', record.bytes, 17)
  return {open = open, high = high, low = low, close = close, volume = volume}
end

local function same_values(new, old)
  -- Prices are copied, so they are equal or different; a volume may be a sum, which rounds.
  local a, b = values(new), values(old)
  return a.open == b.open and a.high == b.high and a.low == b.low and a.close == b.close
    and math.abs(a.volume - b.volume) <= 1e-9 * math.max(a.volume, b.volume)
    and band(new.flags, 4) == band(old.flags, 4)
end

local function knows_more(new, old)
  if new.state ~= old.state then return new.state > old.state end
  if new.observed ~= old.observed then return new.observed > old.observed end
  local a, b = values(new), values(old)
  for _, field in ipairs({'volume', 'high', 'low', 'close', 'open'}) do -- equally late: any fixed order works
    if a[field] ~= b[field] then return a[field] > b[field] end
  end
  return false
end

local function with_flags(bytes, flags)
  return sub(bytes, 1, 4) .. pack('<I4', flags) .. sub(bytes, 9)
end

local function accepted(new, old)
  if new.state == FORMING then return UPDATED end
  if not same_values(new, old) then return CORRECTED end
  if band(old.flags, PROVISIONAL_BIT) ~= 0 and band(new.flags, PROVISIONAL_BIT) == 0 then return RESOLVED end
  return new.state > old.state and CONFIRMED or UNCHANGED
end

-- Compares `new` with `old` of the same bucket. Returns the outcome, the bytes to write, and the old bytes to report.
-- (A closed record is always inserted over a forming one, without this.)
local function judge(new, old)
  if knows_more(new, old) then
    local outcome = accepted(new, old)
    local bytes = new.bytes
    if outcome == CORRECTED or (band(old.flags, CORRECTED_BIT) ~= 0 and outcome ~= UPDATED) then
      bytes = with_flags(bytes, bit.bor(new.flags, CORRECTED_BIT))
    end
    return outcome, bytes, outcome == CORRECTED and old.bytes
  end
  if same_values(new, old) then return UNCHANGED end
  return REFUSED, nil, new.state == CLOSED and old.state > CLOSED and old.bytes
end

-- Judges a note on a bucket that has a record: it may only replace another note, since a candle has seen trades.
local function judge_note(new, old)
  if old.state == NOTE then return UPDATED, new.bytes end
  return REFUSED
end

-- Judges a candle with trades for a bucket that is empty because a stream was silent: another stream was not.
local function judge_silence(new, old)
  if new.state >= CLOSED then return CORRECTED, with_flags(new.bytes, bit.bor(new.flags, CORRECTED_BIT)), old.bytes end
  return REFUSED, with_flags(old.bytes, band(bit.bor(old.flags, PROVISIONAL_BIT), bit.bnot(SILENT_BIT)))
end

-- Whether a guarded record has fewer trades than the stored one.
local function has_less(bytes, flags, stored, stored_flags)
  if band(stored_flags, EMPTY_BIT) ~= 0 or band(stored_flags, 3) == NOTE then return false end
  if band(flags, EMPTY_BIT) ~= 0 then return true end
  local volume, known = unpack('<d', bytes, 49), unpack('<d', stored, 49)
  return volume < known * (1 - 1e-9)
end

-- Refuses the record. A closed stored one is marked as provisional: REST is requested once more.
local function judge_guarded(stored, stored_flags)
  if band(stored_flags, 3) < CLOSED then return REFUSED end
  return REFUSED, with_flags(stored, bit.bor(stored_flags, PROVISIONAL_BIT))
end

-- Whether a record has trades in a bucket stored as empty because a stream was silent. A voided silence is provisional
-- until REST has been requested: it must not hide trades either.
local function breaks_silence(flags, stored_flags)
  return band(stored_flags, EMPTY_BIT) ~= 0 and band(stored_flags, bit.bor(SILENT_BIT, PROVISIONAL_BIT)) ~= 0
    and band(stored_flags, 3) >= CLOSED and band(flags, EMPTY_BIT) == 0
end

local rings, records = ARGV[3], ARGV[4]
local announce = #ARGV > 4
local outcomes, befores, number, told = {}, {}, 0, false

for k = 3, #KEYS do
  local ring, capacity = KEYS[k], tonumber(ARGV[2])
  local count, step, origin, note, known_origin = unpack('<I4I4I4I4I4', rings, (k - 3) * 20 + 1)
  -- With the usual capacity, the trailer follows the slots. Otherwise the ring has another length, or is missing.
  local trail = call('GETRANGE', ring, capacity * RECORD, -1)
  if #trail ~= TRAILER then
    local length = call('STRLEN', ring)
    if length == 0 then
      allocate(ring, capacity)
    else
      capacity = (length - TRAILER) / RECORD
    end
    trail = call('GETRANGE', ring, -TRAILER, -1)
  end
  local trailer, changed = capacity * RECORD, false
  local pair, timeframe
  if announce then pair, timeframe = string.match(ring, '{(.*)}(.*)$') end

  for _ = 1, count do
    local bytes = sub(records, number * RECORD + 1, (number + 1) * RECORD)
    local start, flags = unpack('<I4I4', bytes)
    local offset = floor(start / step) % capacity * RECORD
    local stored = call('GETRANGE', ring, offset, offset + RECORD - 1)
    local stored_start, stored_flags = unpack('<I4I4', stored)
    local state, outcome, before = band(flags, 3), INSERTED, nil
    number = number + 1
    if (stored_start - step) * 1000 > clock_ms then stored_start = 0 end
    local is_guarded = band(flags, GUARDED_BIT) ~= 0
    if is_guarded then
      flags = flags - GUARDED_BIT
      bytes = with_flags(bytes, flags)
    end

    if stored_start > start then
      outcome, bytes = REFUSED, nil -- older than the ring
    elseif stored_start < start then
      if state < CLOSED then outcome = UPDATED end
    elseif is_guarded and has_less(bytes, flags, stored, stored_flags) then
      outcome, bytes = judge_guarded(stored, stored_flags)
    elseif state == NOTE then
      outcome, bytes = judge_note(head(bytes), head(stored))
    elseif breaks_silence(flags, stored_flags) then
      outcome, bytes, before = judge_silence(head(bytes), head(stored))
    elseif state == FORMING or band(stored_flags, 3) >= CLOSED then
      outcome, bytes, before = judge(head(bytes), head(stored))
    end

    if bytes then call('SETRANGE', ring, offset, bytes) end
    if outcome == RESOLVED then changed = true end
    if outcome == INSERTED or outcome == CORRECTED then
      changed = true
      if announce then
        local kind, name, payload = outcome == INSERTED and 'close' or 'correction', pair .. timeframe, ARGV[4 + number]
        call('XADD', KEYS[1], '*', 'kind', kind, 'series', name, 'data', payload)
        call('PUBLISH', 'candle:' .. kind .. ':' .. name, payload)
        told = true
      end
    end
    outcomes[number] = outcome
    if before then
      befores[#befores + 1] = number - 1
      befores[#befores + 1] = before
    end
  end

  if changed then
    call('SETRANGE', ring, trailer, pack('<I8', unpack('<I8', trail) + 1))
  end
  if origin ~= AS_IT_IS then
    local stored_origin = unpack('<I4', trail, 9)
    if stored_origin == known_origin or (origin > 0 and origin < stored_origin) then
      call('SETRANGE', ring, trailer + 8, pack('<I4I4', origin, note))
    end
  end
end

if told then
  while call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1]) > 0 do end -- each call trims a limited number
end
return {outcomes, befores}

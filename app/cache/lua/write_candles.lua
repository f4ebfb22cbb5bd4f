-- Compare-and-set of many candles of many series, with their events, in one atomic step.
--
-- KEYS[1]      event stream
-- KEYS[2..]    one ring a series
-- ARGV[1]      entries kept in the event stream
-- ARGV[2]      capacity of a new ring
-- ARGV[3]      for each ring, packed (u32): number of records, bucket length in s, origin in s (2^32 - 1 leaves it)
-- ARGV[4]      the records of all rings, packed, 56 bytes each
-- ARGV[5..]    to announce what is accepted: payloads (JSON, one a record)
--
-- Answer: the outcome of each record; then, as pairs of a record's number (from 0) and bytes, the records that were
-- replaced, or confirmed and contradicted.

local call, pack, unpack, sub, band, floor = redis.call, struct.pack, struct.unpack, string.sub, bit.band, math.floor
local RECORD, TRAILER, NO_ORIGIN = 56, 16, 4294967295
local FORMING, CLOSED, CORRECTED_BIT = 1, 2, 8
local REFUSED, UNCHANGED, INSERTED, CORRECTED, CONFIRMED, UPDATED = 0, 1, 2, 3, 4, 5

local function allocate(ring, capacity)
  -- A revision never repeats, even after a ring was deleted: it starts from the time.
  call('SETRANGE', ring, capacity * RECORD, pack('<I8I4I4', call('TIME')[1] * 1000, 0, 0))
end

-- The head of a record; its values are seldom asked for.
local function head(bytes)
  local _, flags, observed = unpack('<I4I4I8', bytes)
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
  for _, field in ipairs({'volume', 'high', 'low', 'close', 'open'}) do -- equally late: any fixed order will do
    if a[field] ~= b[field] then return a[field] > b[field] end
  end
  return false
end

local function accepted(new, old)
  if new.state == FORMING then return UPDATED end
  if not same_values(new, old) then return CORRECTED end
  return new.state > old.state and CONFIRMED or UNCHANGED
end

-- What becomes of `new` where `old` is, of the same bucket: the outcome, the bytes to write, and those to tell of.
-- (A closed one where a forming one is needs no judgement: it is inserted.)
local function judge(new, old)
  if knows_more(new, old) then
    local outcome = accepted(new, old)
    local bytes = new.bytes
    if outcome == CORRECTED or (band(old.flags, CORRECTED_BIT) ~= 0 and outcome ~= UPDATED) then
      bytes = sub(bytes, 1, 4) .. pack('<I4', bit.bor(new.flags, CORRECTED_BIT)) .. sub(bytes, 9)
    end
    return outcome, bytes, outcome == CORRECTED and old.bytes
  end
  if same_values(new, old) then return UNCHANGED end
  return REFUSED, nil, new.state == CLOSED and old.state > CLOSED and old.bytes
end

local rings, records = ARGV[3], ARGV[4]
local announce = #ARGV > 4
local outcomes, befores, number, told = {}, {}, 0, false

for k = 2, #KEYS do
  local ring, capacity = KEYS[k], tonumber(ARGV[2])
  local count, step, origin = unpack('<I4I4I4', rings, (k - 2) * 12 + 1)
  -- Behind as many slots as most rings have is a trailer; or the ring has another length, or is not there.
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

    if stored_start == start and (state == FORMING or band(stored_flags, 3) >= CLOSED) then
      outcome, bytes, before = judge(head(bytes), head(stored))
    elseif stored_start > start then
      outcome, bytes = REFUSED, nil -- older than the ring reaches
    elseif state == FORMING then
      outcome = UPDATED
    end

    if bytes then call('SETRANGE', ring, offset, bytes) end
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
  if origin ~= NO_ORIGIN then call('SETRANGE', ring, trailer + 8, pack('<I4', origin)) end
end

if told then
  while call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1]) > 0 do end -- one trims only so many
end
return {outcomes, befores}

-- Compare-and-set of many candles of many series, with their events, in one atomic step.
--
-- KEYS[1]      event stream
-- KEYS[2..]    one ring a series
-- ARGV[1]      entries kept in the event stream
-- ARGV[2]      capacity of a new ring
-- ARGV[3]      '1': announce accepted candles
-- then for each ring: bucket length in s, origin in s ('' leaves it), packed 56-byte records;
--   and to announce them: series name for channels, payloads (JSON, one a record)
--
-- Answer: the outcome of each record; then, as pairs of a record's number (from 0) and bytes, the records that were
-- replaced, or confirmed and contradicted.

local RECORD, TRAILER = 56, 16
local FORMING, CLOSED, CORRECTED_BIT = 1, 2, 8
local REFUSED, UNCHANGED, INSERTED, CORRECTED, CONFIRMED, UPDATED = 0, 1, 2, 3, 4, 5
local LAYOUT = '<I4I4I8ddddd'

local function allocate(ring, capacity)
  -- A revision never repeats, even after a ring was deleted: it starts from the time.
  redis.call('SETRANGE', ring, capacity * RECORD, struct.pack('<I8I4I4', redis.call('TIME')[1] * 1000, 0, 0))
end

local function same_values(a, b)
  -- Prices are copied, so they are equal or different; a volume may be a sum, which rounds.
  return a[4] == b[4] and a[5] == b[5] and a[6] == b[6] and a[7] == b[7]
    and math.abs(a[8] - b[8]) <= 1e-9 * math.max(a[8], b[8])
    and bit.band(a[2], 4) == bit.band(b[2], 4)
end

local function knows_more(new, old)
  local new_state, old_state = bit.band(new[2], 3), bit.band(old[2], 3)
  if new_state ~= old_state then return new_state > old_state end
  if new[3] ~= old[3] then return new[3] > old[3] end
  for _, field in ipairs({8, 5, 6, 7, 4}) do -- equally late: any fixed order will do
    if new[field] ~= old[field] then return new[field] > old[field] end
  end
  return false
end

local function outcome_of(new, old)
  local new_state, old_state = bit.band(new[2], 3), bit.band(old[2], 3)
  if new_state == FORMING then return UPDATED end
  if old_state < CLOSED then return INSERTED end
  if not same_values(new, old) then return CORRECTED end
  return new_state > old_state and CONFIRMED or UNCHANGED
end

local outcomes, befores, arg = {}, {}, 4
local announce = ARGV[3] == '1'

for k = 2, #KEYS do
  local ring, capacity = KEYS[k], tonumber(ARGV[2])
  local step, origin, packed = tonumber(ARGV[arg]), ARGV[arg + 1], ARGV[arg + 2]
  local count = #packed / RECORD
  local name, first_payload = ARGV[arg + 3], arg + 4
  arg = arg + 3
  if announce then arg = first_payload + count end

  local length = redis.call('STRLEN', ring)
  if length == 0 then
    allocate(ring, capacity)
  else
    capacity = (length - TRAILER) / RECORD
  end
  local trailer = capacity * RECORD
  local changed = false

  for i = 0, count - 1 do
    local bytes = string.sub(packed, i * RECORD + 1, (i + 1) * RECORD)
    local start, flags = struct.unpack('<I4I4', bytes)
    local offset = (math.floor(start / step) % capacity) * RECORD
    local stored = redis.call('GETRANGE', ring, offset, offset + RECORD - 1)
    local stored_start = struct.unpack('<I4', stored)
    local outcome, before = INSERTED, nil

    if stored_start > start then
      outcome = REFUSED -- older than the ring reaches
    elseif stored_start == start then
      local new, old = {struct.unpack(LAYOUT, bytes)}, {struct.unpack(LAYOUT, stored)}
      if knows_more(new, old) then
        outcome = outcome_of(new, old)
        if outcome == CORRECTED then before = stored end
        if outcome == CORRECTED or (bit.band(old[2], CORRECTED_BIT) ~= 0 and outcome ~= UPDATED) then
          bytes = string.sub(bytes, 1, 4) .. struct.pack('<I4', bit.bor(new[2], CORRECTED_BIT)) .. string.sub(bytes, 9)
        end
      elseif same_values(new, old) then
        outcome = UNCHANGED
        bytes = nil
      else
        outcome = REFUSED
        if bit.band(new[2], 3) == CLOSED and bit.band(old[2], 3) > CLOSED then before = stored end
      end
    elseif bit.band(flags, 3) == FORMING then
      outcome = UPDATED
    end

    if outcome ~= REFUSED and bytes then redis.call('SETRANGE', ring, offset, bytes) end
    if outcome == INSERTED or outcome == CORRECTED then
      changed = true
      if announce then
        local kind = outcome == INSERTED and 'close' or 'correction'
        local payload = ARGV[first_payload + i]
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'kind', kind, 'series', name, 'data', payload)
        redis.call('PUBLISH', 'candle:' .. kind .. ':' .. name, payload)
      end
    end
    outcomes[#outcomes + 1] = outcome
    if before then
      befores[#befores + 1] = #outcomes - 1
      befores[#befores + 1] = before
    end
  end

  if changed then
    local revision = struct.unpack('<I8', redis.call('GETRANGE', ring, trailer, trailer + 7))
    redis.call('SETRANGE', ring, trailer, struct.pack('<I8', revision + 1))
  end
  if origin ~= '' then
    redis.call('SETRANGE', ring, trailer + 8, struct.pack('<I4', tonumber(origin)))
  end
end

return {outcomes, befores}

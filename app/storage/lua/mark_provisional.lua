-- Marks closed candles as provisional, so that REST is requested for them (once more).
-- KEYS: one ring per series   ARGV for each ring: bucket length in s, first bucket, last bucket (starts in s);
-- then '1' to mark confirmed candles too, which is a change (new revision); or '0' to void the silence of a stream
-- instead
-- Returns how many were marked.

local RECORD, TRAILER, CLOSED, CONFIRMED, PROVISIONAL, SILENT = 56, 16, 2, 3, 16, 32
local with_confirmed = ARGV[#ARGV] == '1'
local marked = 0

local function marked_flags(flags)
  local state, is_void = bit.band(flags, 3), bit.band(flags, SILENT) ~= 0 and not with_confirmed
  if is_void then flags = flags - SILENT end
  if state == CLOSED or (state == CONFIRMED and (with_confirmed or is_void)) then
    if bit.band(flags, PROVISIONAL) == 0 then
      marked = marked + 1
      flags = flags + PROVISIONAL
    end
  end
  return flags
end

for k = 1, #KEYS do
  local capacity = (redis.call('STRLEN', KEYS[k]) - TRAILER) / RECORD
  local step, first, last = tonumber(ARGV[3 * k - 2]), tonumber(ARGV[3 * k - 1]), tonumber(ARGV[3 * k])
  local before = marked
  if capacity > 0 then
    for start = math.max(first, last - (capacity - 1) * step), last, step do
      local offset = (math.floor(start / step) % capacity) * RECORD
      local held, flags = struct.unpack('<I4I4', redis.call('GETRANGE', KEYS[k], offset, offset + 7))
      if held == start then
        local new = marked_flags(flags)
        if new ~= flags then redis.call('SETRANGE', KEYS[k], offset + 4, struct.pack('<I4', new)) end
      end
    end
  end
  if with_confirmed and marked > before then
    local revision = struct.unpack('<I8', redis.call('GETRANGE', KEYS[k], capacity * RECORD, capacity * RECORD + 7))
    redis.call('SETRANGE', KEYS[k], capacity * RECORD, struct.pack('<I8', revision + 1))
  end
end
return marked

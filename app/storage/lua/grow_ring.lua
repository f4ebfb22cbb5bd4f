-- Grows the ring of a series, keeping every record that it has room for.
-- KEYS[1] ring   ARGV: bucket length in s, wanted capacity
-- Returns the capacity.

local RECORD, TRAILER = 56, 16
local step, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local length = redis.call('STRLEN', KEYS[1])
local capacity = length == 0 and 0 or (length - TRAILER) / RECORD
if capacity >= wanted then return capacity end

-- A slot may still hold a record from before a downtime: of two records for one new slot the newer stays.
local slots, starts = {}, {}
for i = 0, capacity - 1 do
  local record = redis.call('GETRANGE', KEYS[1], i * RECORD, (i + 1) * RECORD - 1)
  local start = struct.unpack('<I4', record)
  local slot = math.floor(start / step) % wanted
  if start > (starts[slot] or 0) then slots[slot], starts[slot] = record, start end
end
-- The origin was proven only as far as the old ring reached: clear the note, so it is requested again.
local trailer = capacity > 0 and redis.call('GETRANGE', KEYS[1], capacity * RECORD, -5) .. struct.pack('<I4', 0)
  or struct.pack('<I8I4I4', redis.call('TIME')[1] * 1000, 0, 0)
redis.call('DEL', KEYS[1])
redis.call('SETRANGE', KEYS[1], wanted * RECORD, trailer)
for slot, record in pairs(slots) do redis.call('SETRANGE', KEYS[1], slot * RECORD, record) end
return wanted

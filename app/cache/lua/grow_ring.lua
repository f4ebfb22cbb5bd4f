-- Gives a series a ring that reaches further back, keeping every record.
-- KEYS[1] ring   ARGV: bucket length in s, wanted capacity, origin in s ('' leaves it)

local RECORD, TRAILER = 56, 16
local step, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local length = redis.call('STRLEN', KEYS[1])
local capacity = length == 0 and 0 or (length - TRAILER) / RECORD
local trailer = struct.pack('<I8I4I4', redis.call('TIME')[1] * 1000, 0, 0)

if capacity < wanted then
  local slots = {}
  for i = 0, capacity - 1 do
    local record = redis.call('GETRANGE', KEYS[1], i * RECORD, (i + 1) * RECORD - 1)
    local start = struct.unpack('<I4', record)
    if start > 0 then slots[math.floor(start / step) % wanted] = record end
  end
  if capacity > 0 then trailer = redis.call('GETRANGE', KEYS[1], capacity * RECORD, -1) end
  redis.call('DEL', KEYS[1])
  redis.call('SETRANGE', KEYS[1], wanted * RECORD, trailer)
  for slot, record in pairs(slots) do redis.call('SETRANGE', KEYS[1], slot * RECORD, record) end
  capacity = wanted
end
if ARGV[3] ~= '' then
  redis.call('SETRANGE', KEYS[1], capacity * RECORD + 8, struct.pack('<I4', tonumber(ARGV[3])))
end
return capacity

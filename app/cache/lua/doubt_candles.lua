-- Marks closed candles as unsettled, so that REST is asked for them (once more).
-- KEYS: one ring a series   ARGV for each ring: bucket length in s, first bucket, last bucket (starts in s);
-- then '1' if those are meant too that REST has confirmed
-- Answer: how many were marked.

local RECORD, TRAILER, CLOSED, CONFIRMED, UNSETTLED = 56, 16, 2, 3, 16
local surest = ARGV[#ARGV] == '1' and CONFIRMED or CLOSED
local marked = 0

for k = 1, #KEYS do
  local capacity = (redis.call('STRLEN', KEYS[k]) - TRAILER) / RECORD
  local step, first, last = tonumber(ARGV[3 * k - 2]), tonumber(ARGV[3 * k - 1]), tonumber(ARGV[3 * k])
  if capacity > 0 then
    for start = math.max(first, last - (capacity - 1) * step), last, step do
      local offset = (math.floor(start / step) % capacity) * RECORD
      local held, flags = struct.unpack('<I4I4', redis.call('GETRANGE', KEYS[k], offset, offset + 7))
      local state = bit.band(flags, 3)
      if held == start and state >= CLOSED and state <= surest and bit.band(flags, UNSETTLED) == 0 then
        redis.call('SETRANGE', KEYS[k], offset + 4, struct.pack('<I4', bit.bor(flags, UNSETTLED)))
        marked = marked + 1
      end
    end
  end
end
return marked

-- Marks closed candles that only the stream has vouched for as unsettled, so that REST is asked for them.
-- KEYS: one ring a series   ARGV for each ring: bucket length in s, first bucket, last bucket (starts in s)
-- Answer: how many were marked.

local RECORD, TRAILER, CLOSED, UNSETTLED = 56, 16, 2, 16
local marked = 0

for k = 1, #KEYS do
  local capacity = (redis.call('STRLEN', KEYS[k]) - TRAILER) / RECORD
  local step, first, last = tonumber(ARGV[3 * k - 2]), tonumber(ARGV[3 * k - 1]), tonumber(ARGV[3 * k])
  if capacity > 0 then
    for start = math.max(first, last - (capacity - 1) * step), last, step do
      local offset = (math.floor(start / step) % capacity) * RECORD
      local held, flags = struct.unpack('<I4I4', redis.call('GETRANGE', KEYS[k], offset, offset + 7))
      if held == start and bit.band(flags, 3) == CLOSED and bit.band(flags, UNSETTLED) == 0 then
        redis.call('SETRANGE', KEYS[k], offset + 4, struct.pack('<I4', bit.bor(flags, UNSETTLED)))
        marked = marked + 1
      end
    end
  end
end
return marked

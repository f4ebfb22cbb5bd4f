-- Reads the same few buckets of many series. Returns one string: many small responses would take longer than reading.
-- Adjacent buckets are one read, unless the ring wraps around between them.
--
-- KEYS    one ring per series
-- ARGV    bucket length in s, then the buckets (starts in s)
-- Returns for each ring the slot of each bucket (56 bytes, which may hold another bucket); zeros if there is no ring

local RECORD, TRAILER = 56, 16
local step, numbers = tonumber(ARGV[1]), {}
for i = 2, #ARGV do numbers[i - 1] = math.floor(tonumber(ARGV[i]) / step) end
local nothing = string.rep('\0', RECORD * #numbers)

local slots = {}
for _, key in ipairs(KEYS) do
  local length = redis.call('STRLEN', key)
  if length == 0 then
    slots[#slots + 1] = nothing
  else
    local capacity, i = (length - TRAILER) / RECORD, 1
    while i <= #numbers do
      local first = numbers[i] % capacity
      local last = first
      while numbers[i + 1] == numbers[i] + 1 and last + 1 < capacity do
        i, last = i + 1, last + 1
      end
      slots[#slots + 1] = redis.call('GETRANGE', key, first * RECORD, last * RECORD + RECORD - 1)
      i = i + 1
    end
  end
end
return table.concat(slots)

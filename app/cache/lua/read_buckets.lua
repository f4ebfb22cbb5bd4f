-- The same few buckets of many series: one string for all, where many small answers would take longer than the reading.
--
-- KEYS    one ring a series
-- ARGV    bucket length in s, then the buckets (starts in s)
-- Answer  for each ring the slot of each bucket (56 bytes, which may hold another bucket); zeros where there is no ring

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
    local capacity = (length - TRAILER) / RECORD
    for _, number in ipairs(numbers) do
      local from = number % capacity * RECORD
      slots[#slots + 1] = redis.call('GETRANGE', key, from, from + RECORD - 1)
    end
  end
end
return table.concat(slots)

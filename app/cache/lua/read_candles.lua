-- The slots of a range of buckets, for many series.
--
-- KEYS     one ring a series
-- ARGV     for each ring: bucket length in s, first bucket, last bucket (starts in s)
--
-- Answer for each ring: trailer (16 bytes), then the slots of the range in order, as far as the ring reaches back,
-- in one piece or, where the range passes the ring's end, in two (joining them here costs as much as all the rest);
-- nothing where there is no ring.

local RECORD, TRAILER = 56, 16
local answer = {}

for k = 1, #KEYS do
  local length = redis.call('STRLEN', KEYS[k])
  if length == 0 then
    answer[k] = {}
  else
    local step, first, last = tonumber(ARGV[3 * k - 2]), tonumber(ARGV[3 * k - 1]), tonumber(ARGV[3 * k])
    local capacity = (length - TRAILER) / RECORD
    local count = math.min(math.floor((last - first) / step) + 1, capacity)
    local from = (math.floor(last / step) - count + 1) % capacity
    local until_end = math.min(count, capacity - from)
    local parts = {redis.call('GETRANGE', KEYS[k], capacity * RECORD, -1)}
    if count > 0 then
      parts[2] = redis.call('GETRANGE', KEYS[k], from * RECORD, (from + until_end) * RECORD - 1)
      if count > until_end then
        parts[3] = redis.call('GETRANGE', KEYS[k], 0, (count - until_end) * RECORD - 1)
      end
    end
    answer[k] = parts
  end
end

return answer

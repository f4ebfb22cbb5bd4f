-- Reads some fields of many hashes: one response instead of thousands.
--
-- KEYS    the hashes
-- ARGV    the fields
-- Returns for each hash the value of each field; '' if missing

local answer, n = {}, #ARGV
if n == 1 then -- most large reads
  for i, key in ipairs(KEYS) do
    answer[i] = redis.call('HGET', key, ARGV[1]) or ''
  end
  return answer
end
for k, key in ipairs(KEYS) do
  for i, value in ipairs(redis.call('HMGET', key, unpack(ARGV))) do
    answer[(k - 1) * n + i] = value or ''
  end
end
return answer

-- Some fields of many hashes: one answer instead of thousands.
--
-- KEYS    the hashes
-- ARGV    the fields
-- Answer  for each hash the value of each field; '' for one that is not there

local answer, n = {}, #ARGV
if n == 1 then -- by far the most that are read at once
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

-- Some fields of many hashes: one answer instead of thousands.
--
-- KEYS    the hashes
-- ARGV    the fields
-- Answer  for each hash the value of each field; '' for one that is not there

local answer = {}
for _, key in ipairs(KEYS) do
  for _, value in ipairs(redis.call('HMGET', key, unpack(ARGV))) do
    answer[#answer + 1] = value or ''
  end
end
return answer

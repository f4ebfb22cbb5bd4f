-- The latest indicator values of many series: one answer instead of thousands.
--
-- KEYS    one hash a series
-- Answer  for each series the revision of its candles, its bucket, and its JSON; '' each where none was computed

local answer = {}
for _, key in ipairs(KEYS) do
  for _, value in ipairs(redis.call('HMGET', key, 'revision', 'start', 'data')) do
    answer[#answer + 1] = value or ''
  end
end
return answer

-- The latest indicator values of many series, as JSON: one answer instead of thousands.
--
-- KEYS    one hash a series
-- Answer  for each series its JSON, or '' where none was computed

local answer = {}
for k, key in ipairs(KEYS) do
  answer[k] = redis.call('HGET', key, 'data') or ''
end
return answer

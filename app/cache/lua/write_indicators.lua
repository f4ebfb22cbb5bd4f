-- Latest indicator values of many series: a value replaces one that was computed from older candles.
--
-- KEYS[1] event stream   KEYS[2..] one hash a series
-- ARGV[1] entries kept in the event stream, then for each series: revision, bucket start in s, channel, series name, JSON
-- Answer for each series: 1 where the value is new.

local answer, arg = {}, 2
for k = 2, #KEYS do
  local revision, start, channel, name, data = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3], ARGV[arg + 4]
  arg = arg + 5
  local known = redis.call('HGET', KEYS[k], 'revision')
  if known and tonumber(known) >= tonumber(revision) then
    answer[k - 1] = 0
  else
    redis.call('HSET', KEYS[k], 'revision', revision, 'start', start, 'data', data)
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'kind', 'indicator', 'series', name, 'data', data)
    redis.call('PUBLISH', channel, data)
    answer[k - 1] = 1
  end
end
return answer

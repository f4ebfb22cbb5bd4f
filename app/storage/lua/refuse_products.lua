-- KEYS[1] followed products (product -> JSON)   KEYS[2] leases of ingest processes
-- ARGV: product, its row (JSON), product, its row ...
-- A product that is no longer followed is not added again.

local changed = 0
for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    changed = 1
  end
end
if changed == 1 then redis.call('HINCRBY', KEYS[2], '#', 1) end
return changed

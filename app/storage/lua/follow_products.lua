-- The followed products are the union of the parts that ingest processes selected. A part stays until its process
-- selects other products, or is dead and superseded: its lease is over, and a running process made its own selection
-- after the last renewal of the dead one, at least one lease ago. Parts of dead processes are merged into one.
--
-- KEYS[1] followed products (product -> JSON)   KEYS[2] leases (process -> "selected_ms renewed_ms")
-- KEYS[3] parts (process -> names, one space between two)
-- ARGV[1] process   ARGV[2] lease in ms   ARGV[3] "renew", "select" (it has just selected these) or "keep" (it keeps
-- these, which supersedes nothing)   ARGV[4...] product, its row (JSON), "1" if the process feeds it
-- Returns the revision of the followed products, which grows with every change; -1 if there is nothing to renew.

local DEAD, REVISION = '', '#'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local process, lease_ms, verb = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function lease_of(name)
  local selected, renewed = string.match(redis.call('HGET', KEYS[2], name) or '', '^(%d+) (%d+)$')
  return tonumber(selected), tonumber(renewed)
end

local function set_lease(name, selected, renewed)
  redis.call('HSET', KEYS[2], name, string.format('%.0f %.0f', selected, renewed))
end

local changed = false

if verb == 'renew' then
  local selected = lease_of(process)
  local names = redis.call('HGET', KEYS[3], process)
  if not selected or not names or (names ~= '' and redis.call('EXISTS', KEYS[1]) == 0) then return -1 end
  set_lease(process, selected, now)
else
  local names = {}
  for i = 4, #ARGV, 3 do
    local product, row, feeds = ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1'
    names[#names + 1] = product
    -- Only a process that feeds a product replaces its row: others cannot know whether the exchange delivers it.
    if feeds or redis.call('HEXISTS', KEYS[1], product) == 0 then
      redis.call('HSET', KEYS[1], product, row)
    end
  end
  set_lease(process, verb == 'select' and now or 0, now)
  redis.call('HSET', KEYS[3], process, table.concat(names, ' '))
  changed = true
end

local newest, dead = 0, {}
for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
  if name ~= REVISION then
    local selected, renewed = lease_of(name)
    if not renewed or name == DEAD or renewed + lease_ms < now then
      dead[#dead + 1] = {name, renewed or 0}
    elseif selected + lease_ms <= now and selected > newest then
      newest = selected
    end
  end
end

local kept, kept_ms, moved = {}, 0, false
for _, part in ipairs(dead) do
  local name, renewed = part[1], part[2]
  if renewed < newest then
    changed = true
  else
    kept[#kept + 1] = redis.call('HGET', KEYS[3], name) or ''
    kept_ms = math.max(kept_ms, renewed)
  end
  if renewed < newest or name ~= DEAD then
    redis.call('HDEL', KEYS[2], name)
    redis.call('HDEL', KEYS[3], name)
    moved = true
  end
end
if moved and #kept > 0 then
  local names, seen = {}, {}
  for name in string.gmatch(table.concat(kept, ' '), '%S+') do
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  set_lease(DEAD, 0, kept_ms)
  redis.call('HSET', KEYS[3], DEAD, table.concat(names, ' '))
end

if changed then
  local wanted = {}
  for _, names in ipairs(redis.call('HVALS', KEYS[3])) do
    for name in string.gmatch(names, '%S+') do wanted[name] = true end
  end
  for _, product in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not wanted[product] then redis.call('HDEL', KEYS[1], product) end
  end
  return redis.call('HINCRBY', KEYS[2], REVISION, 1)
end
return tonumber(redis.call('HGET', KEYS[2], REVISION) or 0)

-- Entries of the event stream after an id, with what is needed to tell whether some before them are gone.
-- KEYS: event stream   ARGV: id ('' for none: only where the stream stands), most entries
-- Answer: id of the oldest entry ('' where there is none), id of the newest there ever was, '1' if any was trimmed, entries.

if redis.call('EXISTS', KEYS[1]) == 0 then return {'', '0-0', '0', {}} end
local info, flat = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end

local oldest = info['first-entry']
local added = info['entries-added'] -- since Redis 7; where it is unknown, the worst is assumed
local trimmed = (not added or added > info['length']) and '1' or '0'
local entries = ARGV[1] == '' and {} or redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {oldest and oldest[1] or '', info['last-generated-id'], trimmed, entries}

-- Reads entries of the event stream after an id. The reader can check whether entries before them were trimmed.
-- KEYS: event stream   ARGV: id ('': no entries, only the state of the stream), maximum of entries
-- Returns id of the oldest entry ('' if there is none), id of the newest one ever, '1' if any was trimmed, entries.

if redis.call('EXISTS', KEYS[1]) == 0 then return {'', '0-0', '0', {}} end
local info, flat = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end

local oldest = info['first-entry']
local added = info['entries-added'] -- since Redis 7; if unknown, assume that some were trimmed
local trimmed = (not added or added > info['length']) and '1' or '0'
local entries = ARGV[1] == '' and {} or redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {oldest and oldest[1] or '', info['last-generated-id'], trimmed, entries}

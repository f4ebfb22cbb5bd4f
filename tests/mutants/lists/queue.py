from tests.mutants.mutant import Mutant as M
from tests.mutants.mutant import Target

TESTS = ("tests/integration/test_repair_queue.py",)
QUEUE = Target(
    "app/repair/queue.py",
    TESTS,
    [
        M("a lease of milliseconds", "int(LEASE_S * 1000), STEP_MS]", "int(LEASE_S), STEP_MS]"),
        M("history is as urgent as a gap", "HISTORY = 2", "HISTORY = 0"),
        M("timeframes are equally urgent", "why * len(Timeframe) + list(Timeframe).index(timeframe)", "why * len(Timeframe)"),
        M("reconciliations starve", "STEP_MS = 20_000", "STEP_MS = 20_000_000"),
        M("what is settled is forgotten", 'self._give_back(request, "settle", not_before_ms,', 'self._give_back(request, "done", not_before_ms,'),
        M("postpone forgets tries", 'self._give_back(request, "postpone", not_before_ms)', 'self._give_back(request, "settle", not_before_ms)'),
        M("a retry is at once", "int(delay_s * 1000))", "0)"),
        M("anew is ignored", "args=[STEP_MS, int(anew), *args]", "args=[STEP_MS, 0, *args]"),
        M("every request is anew", "args=[STEP_MS, int(anew), *args]", "args=[STEP_MS, 1, *args]"),
        M("nothing left in vain is still kept", "self._client.hdel(self._asked, str(request))", "pass"),
        M("failures of products no longer followed stay", "for key in (self._failures, self._asked, self._attempts):\n                pipe.hkeys", "for key in (self._asked, self._asked, self._asked):\n                pipe.hkeys"),
        M("everything is forgotten", "if _product_of(name) not in products}", "}"),
        M("an entry that is not a request stays leased", 'self._give_back(raw, "done", "")', "pass"),
        M("a new urgency is not stored", '"" if why is None else urgency(why, request.timeframe))', '"")'),
        M("the reason of a failure is cut off", "reason[:300]", "reason[:3]"),
    ],
)
ADD = Target(
    "app/cache/lua/queue_add.lua",
    TESTS,
    [
        M("a less urgent request lowers the urgency", "math.min(known, steps)", "steps"),
        M("urgency counts for nothing", "now + steps * ARGV[1], request)", "now, request)"),
        M("a request waits although it is urgent now", "redis.call('ZREM', settling, request)", ""),
        M("a request waits behind itself", "redis.call('ZADD', ready, 'LT',", "redis.call('ZADD', ready,"),
        M("what is ready waits to settle, too", "elseif not redis.call('ZSCORE', ready, request) then", "else"),
        M("the later of two times counts", "redis.call('ZADD', settling, 'LT', wait_until, request)", "redis.call('ZADD', settling, wait_until, request)"),
        M("what was requested in vain is not due anew", "if ARGV[2] == '1' then", "if false then"),
    ],
)
CLAIM = Target(
    "app/cache/lua/queue_claim.lua",
    TESTS,
    [
        M("nothing that settles comes back", "promote(settling, ARGV[1])", ""),
        M("nothing that was delayed comes back", "promote(delayed, now)", ""),
        M("leases never end", "promote(leased, now) -- whoever held these has died", ""),
        M("delays of a clock that was set back last", "promote(delayed, '+inf', now + NEVER_SET_MS)", ""),
        M("leases of a clock that was set back last", "promote(leased, '+inf', now + NEVER_SET_MS)", ""),
        M("what comes back is of no urgency", "now + steps * ARGV[3], request)", "now, request)"),
        M("two work on one request", "if redis.call('ZSCORE', leased, first[1]) then", "if false then"),
        M("a request during the work is lost", "redis.call('ZADD', delayed, now + 100, first[1])", "local lost = 1"),
        M("nothing is leased", "redis.call('ZADD', leased, now + ARGV[2], first[1])", ""),
        M("the least urgent comes first", "redis.call('ZPOPMIN', ready)", "redis.call('ZPOPMAX', ready)"),
    ],
)
RELEASE = Target(
    "app/cache/lua/queue_release.lua",
    TESTS,
    [
        M("urgency is forgotten though requested again", "if not redis.call('ZSCORE', KEYS[7], request) and not redis.call('ZSCORE', KEYS[2], request)\n    and not redis.call('ZSCORE', KEYS[3], request) then", "if true then"),
        M("urgency is kept for ever", "redis.call('HDEL', KEYS[4], request)", ""),
        M("postpone forgets tries", "if verb ~= 'postpone' then", "if true then"),
        M("tries are never forgotten", "if verb ~= 'postpone' then", "if false then"),
        M("tries are not counted", "return redis.call('HINCRBY', KEYS[5], request, 1)", "return redis.call('HINCRBY', KEYS[5], request, 0)"),
        M("a retry has no delay", "redis.call('ZADD', KEYS[2], now + ARGV[3], request)", "redis.call('ZADD', KEYS[2], now, request)"),
        M("a request that is settled is gone", "if verb == 'settle' or verb == 'postpone' then", "if verb == 'settle' then"),
        M("the lease stays", "redis.call('ZREM', KEYS[1], request)", ""),
        M("a failure stays on record", "redis.call('HDEL', KEYS[6], request)", ""),
        M("a failure is not recorded", "redis.call('HSET', KEYS[6], request, ARGV[3])", ""),
        M("what was requested in vain stays", "redis.call('HDEL', KEYS[8], request)", ""),
        M("the later of two times counts", "redis.call('ZADD', KEYS[3], 'LT', ARGV[3], request)", "redis.call('ZADD', KEYS[3], ARGV[3], request)"),
        M("a new urgency is ignored", "if ARGV[4] ~= '' then", "if false then"),
    ],
)
TARGETS = [QUEUE, ADD, CLAIM, RELEASE]

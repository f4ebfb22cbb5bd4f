from tests.mutants.mutant import Mutant as M
from tests.mutants.mutant import Target

TESTS = ("tests/unit/test_status.py",)
SERIES = Target(
    "app/status/series.py",
    TESTS,
    [
        M("one missing bucket is stale", "TAIL = 2", "TAIL = 1"),
        M("three missing buckets are current", "TAIL = 2", "TAIL = 3"),
        M("a thin series is stale", "max(TAIL, _longest_silence(seen.view))", "TAIL"),
        M("every series is stale", "max(TAIL, _longest_silence(seen.view))", "_longest_silence(seen.view)"),
        M("settling is not waited for", "+ settling_s\n", "\n"),
        M("nothing is ever stale", "stale=age_s is not None and age_s > patience_s", "stale=False"),
        M("provisional empty candles count as silence", "(EMPTY | PROVISIONAL)) == EMPTY) &", "EMPTY) == EMPTY) &"),
        M("empty candles that are only closed count as silence", " & (state_of(view.records) == State.CONFIRMED)", ""),
        M("all silences together count", ".max(initial=0)", ".sum()"),
        M("an indicator's bar does not count", "starts += [seen.value.start_s] if seen.value else []", "pass"),
        M("a series that was never requested is ready", 'return False, True, "not requested yet"', 'return True, False, "not requested yet"'),
        M("a series without a trade is ready", 'return False, False, "the exchange has not', 'return True, False, "the exchange has not'),
        M("a young series needs no look at its origin", "if origin.looks and 0 < since_origin < MIN_CANDLES:", "if 0 < since_origin < MIN_CANDLES:"),
        M("a young series is never ready", "if origin.looks and 0 < since_origin < MIN_CANDLES:", "if False:"),
        M("an old series is ready without an indicator", 'return False, True, "its indicator is not computed yet"', 'return True, True, "its indicator is not computed yet"'),
        M("a series is a candle younger", "// seen.series.timeframe.seconds + 1\n", "// seen.series.timeframe.seconds\n"),
    ],
)
VERDICT = Target(
    "app/status/verdict.py",
    TESTS,
    [
        M("the age of the clock does not count", "elif clock.age_real_seconds > CLOCK_OLD_S:", "elif False:"),
        M("no clock is no reason", "if clock is None:\n        yield", "if False:\n        yield"),
        M("no products is no reason", "if not products:\n        return [NOTHING_FOLLOWED]", "pass"),
        M("no series is no reason", "if not series:\n        reasons", "if False:\n        reasons"),
        M("a start is no reason", "if any(s.starting for s in series):", "if False:"),
        M("series set apart are no reason", "if (apart := set_apart(series)) and len(apart) > tolerated(series):", "if (apart := []):"),
        M("one series set apart is a reason", "and len(apart) > tolerated(series):", "and len(apart) > 0:"),
        M("stale series are as they should be", "(s.stale or not s.ready)", "(not s.ready)"),
        M("series that are not ready are as they should be", "(s.stale or not s.ready)", "s.stale"),
        M("a series that starts is set apart", "if not s.starting and (s", "if (s"),
        M("a tenth may be set apart", "TOLERANCE = 20", "TOLERANCE = 10"),
        M("not even one product may be set apart", "max(len(series) // TOLERANCE, of_one_product)", "len(series) // TOLERANCE"),
        M("all may be set apart", "min(max(len(series) // TOLERANCE, of_one_product), len(series) - 1)", "max(len(series) // TOLERANCE, of_one_product)"),
        M("series set apart are called complete", " - {s.product for s in set_apart(series)}", ""),
        M("given-up requests are called complete", "delivered - {f.product for f in gaps.failures}", "delivered"),
        M("series set apart are not named", "if apart := set_apart(series):\n        yield", "if False:\n        yield"),
    ],
)
TARGETS = [SERIES, VERDICT]

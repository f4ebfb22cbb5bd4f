from tests.mutants.mutant import Mutant as M
from tests.mutants.mutant import Target

AGGREGATE = Target(
    "app/aggregate.py",
    ("tests/unit/test_aggregate.py",),
    [
        M("longer aggregates do not inherit provisional", " | np.where(empty, EMPTY, 0) | provisional", " | np.where(empty, EMPTY, 0)"),
        M("only if all children are provisional", "np.bitwise_or.reduce(children", "np.bitwise_and.reduce(children"),
        M("every mark of a child is inherited", "axis=1) & PROVISIONAL", "axis=1) & 0b111000"),
        M("the state is the highest", "state_of(children).min(axis=1)", "state_of(children).max(axis=1)"),
        M("the observation is the earliest", 'children["observed_ms"].max(axis=1)', 'children["observed_ms"].min(axis=1)'),
        M("forming children count", "is_over = state_of(records) >= int(State.CLOSED)", "is_over = state_of(records) >= int(State.FORMING)"),
        M("an incomplete bucket is built", "full = behind - first == size", "full = behind - first >= size - 1"),
        M("a child twice counts for two", ".all(axis=1)\n    parents, index = parents[complete]", ".any(axis=1)\n    parents, index = parents[complete]"),
        M("empty children give prices", 'np.where(traded, children["high"], -np.inf)', 'children["high"]'),
        M("empty children give lows", 'np.where(traded, children["low"], np.inf)', 'children["low"]'),
        M("the first child opens although it is empty", "first, last = traded.argmax(axis=1),", "first, last = 0 * group,"),
        M("volumes are rounded at every step", "fsum(volumes)", "sum(volumes)"),
        M("a parent of empty children is not empty", "empty = ~traded.any(axis=1)", "empty = ~traded.any(axis=1) & False"),
        M("a parent with one empty child is empty", "empty = ~traded.any(axis=1)", "empty = ~traded.all(axis=1)"),
        M("children must come in order", "order = None if (keys[1:] > keys[:-1]).all() else np.argsort", "order = None if True else np.argsort"),
        M("owners run into each other", "_OWNER = 2**32", "_OWNER = 300"),
        M("the parent of the last child is left out", "target.bucket(first_s), last_s + 1, target.seconds", "target.bucket(first_s), last_s, target.seconds"),
        M("any timeframe is built from any other", "if not target.contains(source):", "if False:"),
    ],
)
CONTINUITY = Target(
    "app/continuity.py",
    ("tests/unit/test_continuity.py",),
    [
        M("carried closes are not newer than what they replace", 'np.maximum(renewed["observed_ms"] + 1, records', 'np.maximum(renewed["observed_ms"], records'),
        M("carried closes are older than what they carry", 'np.maximum(renewed["observed_ms"] + 1, records["observed_ms"][carrier[wrong]])', 'renewed["observed_ms"] + 1'),
        M("a bucket behind a hole is carried to", "np.where(has_trades(records) | after_hole, index, 0)", "np.where(has_trades(records), index, 0)"),
        M("empty buckets are carriers", "np.where(has_trades(records) | after_hole, index, 0)", "index"),
        M("traded buckets are carried to", 'wrong = np.flatnonzero(empty & (records["close"] != close))', 'wrong = np.flatnonzero(records["close"] != close)'),
        M("what carries rightly is written again", 'wrong = np.flatnonzero(empty & (records["close"] != close))', "wrong = np.flatnonzero(empty)"),
        M("only the close is carried", 'for price in ("open", "high", "low", "close"):\n        renewed', 'for price in ("close",):\n        renewed'),
        M("the tail is all", "return records[holes[-1] + 1 :]", "return records"),
        M("the tail begins behind the first hole", "return records[holes[-1] + 1 :]", "return records[holes[0] + 1 :]"),
        M("the tail begins before the hole", "return records[holes[-1] + 1 :]", "return records[holes[-1] :]"),
        M("one hole is none", "// timeframe.seconds + 1 - len(records)", "// timeframe.seconds - len(records)"),
        M("since leaves its bucket out", "np.uint32(max(0, first_s)))", 'np.uint32(max(0, first_s)), side="right")'),
        M("since fails before time began", "np.uint32(max(0, first_s))", "np.uint32(first_s)"),
    ],
)
COMPUTE = Target(
    "app/compute.py",
    ("tests/integration/test_compute.py",),
    [
        M("a last child that comes before the clock is not aggregated", "touched.first_s, now_s + BASE.seconds / 2", "touched.first_s, now_s"),
        M("any clock will do", "now_s + BASE.seconds / 2", "now_s + 9 * BASE.seconds", "what it bounds is only what is read: a bucket that is not over has no child, and is not built"),
        M("carried buckets reach nothing", "touched += carried\n", ""),
        M("longer candles of carried buckets stay", "base |= {t: self._ended(t, now_s) for t in carried}", "pass"),
        M("carried buckets are not read again", "held = self._read_base(base, now_s)\n        touched", "touched"),
        M("nothing is carried", "if carried := self._carry(base, held):", "if carried := []:"),
        M("nothing is aggregated", "touched += self._aggregate(base, held)", "pass"),
        M("the longest timeframe is not aggregated", "for longer in self._longer:\n            due", "for longer in self._longer[:-1]:\n            due"),
        M("only the bucket of the first change is built", "parents_of(t.first_s, t.last_s, longer)", "parents_of(t.first_s, t.first_s, longer)"),
        M("the children before the change are not read", "starts = [t.first_s - BASE.seconds, *(longer.bucket(t.first_s) for longer in ended)]", "starts = [t.first_s - BASE.seconds]"),
        M("the candle before a change is not read", "since(held[self._series(t)].closed, t.first_s - BASE.seconds)", "since(held[self._series(t)].closed, t.first_s)"),
        M("timeframes that nobody wants are computed", "known = (t for t in touched if t.timeframe in self._timeframes)", "known = iter(touched)"),
    ],
)
TARGETS = [AGGREGATE, CONTINUITY, COMPUTE]

"""Computes aggregates, indicators and alerts from changed buckets: the work of an indicator worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from app.alerts.evaluate import Evaluator, SeriesSnapshot
from app.compute.latest import latest_values
from app.indicators.macdv import BLOCK, macdv_of_batch
from app.indicators.window import WINDOW
from app.market.aggregate import aggregate_many, parents_of
from app.market.carry_forward import contiguous_tail, since, updated_empty_candles
from app.market.records import GUARDED, Records
from app.market.series import Series
from app.market.timeframes import BASE, Timeframe
from app.storage.alert_changes import AlertCursor
from app.storage.candles import CandleCache
from app.storage.changed_ranges import ChangedRange, changed_ranges
from app.storage.indicators import IndicatorCache, IndicatorValue
from app.storage.model import Range, View, Write
from app.util.batches import batched

_NO_MORE = 2**32
"""A start after every bucket: no extra candles are read."""


Ended: TypeAlias = Mapping[ChangedRange, Sequence[Timeframe]]
"""Changed 5m buckets, and the longer timeframes whose bucket around them may be over."""


class Held(NamedTuple):
    """A series in the cache: its newest closed candles, their revision, and the cursor of its alerts.

    `begin_s`: the origin of the series; 0 if it is not proven.
    """

    closed: Records
    revision: int
    cursor: AlertCursor | None
    begin_s: int


class Computer:
    """Reads and writes candles and indicators of one exchange. Doing the same work twice changes nothing.

    `evaluator`: evaluates the alert rules, if given; `renewed` gives one with the rules in force, if they change.
    `on_messages` receives the number of new messages to deliver.
    """

    def __init__(
        self,
        candles: CandleCache,
        indicators: IndicatorCache,
        exchange: str,
        timeframes: Sequence[Timeframe],
        evaluator: Evaluator | None = None,
        on_messages: Callable[[int], None] = lambda _: None,
        renewed: Callable[[], Evaluator] | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._renewed = renewed
        self._on_messages = on_messages
        self._candles = candles
        self._indicators = indicators
        self._exchange = exchange
        self._longer = [t for t in timeframes if t.contains(BASE)]
        self._timeframes = frozenset(timeframes)

    def update(self, changed: Iterable[ChangedRange], now_s: float) -> int:
        """Update everything that depends on the changed buckets; returns the number of new indicators.

        `now_s`: exchange time, not before the end of any of them; it limits which candles are read, not which close.
        """
        known = (t for t in changed if t.timeframe in self._timeframes)
        # In blocks: the first are published while others wait, and not all windows are in memory at once.
        return sum(self._update(some, now_s) for some in batched(known, BLOCK))

    def _update(self, changed: list[ChangedRange], now_s: float) -> int:
        base = {t: self._ended(t, now_s) for t in changed if t.timeframe == BASE}
        held = self._read_base(base, now_s)
        if carried := self._carry(base, held):
            changed += carried
            base |= {t: self._ended(t, now_s) for t in carried}
            held = self._read_base(base, now_s)
        changed += self._aggregate(base, held)
        many = dict.fromkeys(map(self._series, changed))
        return sum(self._compute(self._held(some, held, now_s), now_s) for some in batched(many, BLOCK))

    def _series(self, changed: ChangedRange) -> Series:
        return Series(self._exchange, changed.product, changed.timeframe)

    def _held(self, many: Sequence[Series], held: Mapping[Series, Held], now_s: float) -> dict[Series, Held]:
        """Each of `many`, read from the cache if it is not in `held`."""
        more = self._read({series: _NO_MORE for series in many if series not in held}, now_s)
        return {series: held.get(series) or more[series] for series in many}

    def _read_base(self, base: Ended, now_s: float) -> dict[Series, Held]:
        """`_read` each product, with every child of the longer buckets that may have become complete."""
        first_s: dict[Series, int] = {}
        for t, ended in base.items():
            starts = [t.first_s - BASE.seconds, *(longer.bucket(t.first_s) for longer in ended)]
            first_s[self._series(t)] = min(*starts, first_s.get(self._series(t), _NO_MORE))
        return self._read(first_s, now_s)

    def _read(self, many: Mapping[Series, int], now_s: float) -> dict[Series, Held]:
        """The newest candles of each series from a bucket on: at least a window and the extra bars of the alerts."""
        cursor = self._indicators.read_cursors(list(many)) if self._evaluator else [None] * len(many)
        ranges = []
        for (series, first_s), before in zip(many.items(), cursor, strict=True):
            newest_s = series.timeframe.bucket(now_s)
            extra = self._evaluator.extra(before, series.timeframe, newest_s) if self._evaluator else 0
            # One bucket more than a window: the newest closed candle may not have arrived.
            first_s = min(first_s, newest_s - (WINDOW + 1 + extra) * series.timeframe.seconds)
            ranges.append(Range(series, first_s, newest_s))
        views = self._candles.read_many(ranges)
        if halted := [i for i, view in enumerate(views) if _is_halted(view, ranges[i])]:
            # A window ends at the newest candle, which is long ago here: read the whole ring.
            whole = self._candles.read_many([ranges[i]._replace(first_s=0) for i in halted])
            views = [whole[halted.index(i)] if i in halted else view for i, view in enumerate(views)]
        return {
            series: Held(view.over, view.revision, before, view.origin.start_s if view.origin.is_proven else 0)
            for series, view, before in zip(many, views, cursor, strict=True)
        }

    def _ended(self, changed: ChangedRange, now_s: float) -> list[Timeframe]:
        """The longer timeframes whose bucket around a changed one may be over.

        Its last child may be cached before the clock shows its end, but never by half a 5m bucket.
        """
        first_s, latest_s = changed.first_s, now_s + BASE.seconds / 2
        return [longer for longer in self._longer if longer.next(first_s) <= latest_s]

    def _carry(self, base: Ended, held: Mapping[Series, Held]) -> list[ChangedRange]:
        """Update empty candles after a corrected one to its new close; beyond a window, a scan finds them."""
        writes = []
        for t in base:
            behind = since(held[self._series(t)].closed, t.first_s - BASE.seconds)
            if len(records := updated_empty_candles(behind, BASE)):
                writes.append(Write(self._series(t), records))
        return changed_ranges(self._candles.write(writes))

    def _aggregate(self, base: Ended, held: Mapping[Series, Held]) -> list[ChangedRange]:
        """Write the longer candles that became complete, or changed."""
        writes = []
        for longer in self._longer:
            due = [t for t, ended in base.items() if longer in ended]
            children = [since(held[self._series(t)].closed, longer.bucket(t.first_s)) for t in due]
            parents = [parents_of(t.first_s, t.last_s, longer) for t in due]
            for t, records in zip(due, aggregate_many(children, BASE, longer, parents), strict=True):
                if len(records):
                    records["flags"] |= GUARDED  # if more is known of the longer bucket, a child is wrong
                    writes.append(Write(Series(self._exchange, t.product, longer), records))
        return changed_ranges(self._candles.write(writes))

    def _compute(self, many: Mapping[Series, Held], now_s: float) -> int:
        """Compute and store the indicator of each series from its newest contiguous candles, with its alerts."""
        tails = [contiguous_tail(held.closed, series.timeframe)[-WINDOW:] for series, held in many.items()]
        computed = macdv_of_batch(tails)
        values = latest_values(list(many), tails, computed)
        snapshots = [
            SeriesSnapshot(series, held.closed, of_window, held.cursor, held.begin_s)
            for (series, held), of_window in zip(many.items(), computed.of_each(tails), strict=True)
        ]
        evaluator = self._evaluator  # one for all: another thread may renew it
        changes = evaluator.evaluate(snapshots) if evaluator else [None] * len(many)
        stored = self._indicators.write(
            (
                # Late: from the end of the open bucket on, what was read at `now_s` may be out of date.
                IndicatorValue(series, held.revision, value["start"], value, change, series.timeframe.next(now_s))
                for (series, held), value, change in zip(many.items(), values, changes, strict=True)
                if value
            ),
            now_s,
            evaluator.version if evaluator else "",
        )
        if stored.messages:
            self._on_messages(stored.messages)
        if stored.late:
            if self._renewed:
                self._evaluator = self._renewed()
            return stored.values + self._compute(self._held(stored.late, {}, stored.now_s), stored.now_s)
        return stored.values


def _is_halted(view: View, read: Range) -> bool:
    """Whether the newest closed candle is older than the last two buckets. `read`: what was read, the open one last."""
    return bool(view.revision) and (
        not len(view.over) or int(view.over["start_s"][-1]) < read.last_s - 2 * read.series.timeframe.seconds
    )

"""The judge of alerts: wrong, missing and undelivered ones.

The expected alerts follow from the exchange's own candles and the description of the rules (docs/alerts.md). The judge
reads only this of the system: the alerts, how far each series was evaluated, and provisional and corrected candles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from app.market.records import PROVISIONAL
from app.market.series import Series
from app.storage import mismatches
from app.storage.alert_changes import AlertCursor
from tests.alerts_reference import WINDOW, Row, Values, events, expected_alerts, judged_bars, runs_of
from tests.exchange import Bar, Exchange
from tests.faults.world import World
from tests.oracle import expected, followed

LATER = 2**32

LATE_BARS = 400
"""Bars this close to the newest one are still evaluated late; older ones are given up."""

LAG_S = 1_800
"""Exchange time within which alerts are evaluated after their candles."""


class Due(NamedTuple):
    """Which bars of a series are judged, and how. Bucket starts in UNIX seconds.

    Bars up to `baseline_s` are history. Every alert of the bars from `late_s` to `last_s` must stand; some of those
    before `late_s` may have been given up. From `corrected_s` on a correction raises no alert, so some may be missing.
    """

    baseline_s: int
    late_s: int
    last_s: int
    corrected_s: int = LATER


class AlertJudge:
    """Compares the alerts of a world with those that follow from the exchange's candles.

    `ended_s`: exchange time at which the last fault was over; `true_s`: at which no candle was wrong any more.
    """

    def __init__(self, world: World, ended_s: float, true_s: float) -> None:
        self._world = world
        self._exchange = Exchange(world.exchange.port)  # its truth reaches further back
        self._ended_s = ended_s
        self._true_s = max(true_s, world.furthest_s)
        self._products = followed(world.system, world.exchange)

    def problems(self) -> Iterator[str]:
        """Every wrong alert of every series, also of products with few trades and of series with gaps.

        The market continues, so only bars count that were over when the faults ended.
        """
        context = self._world.system.context
        many = [Series("coinbase", p, t) for p in self._products for t in context.settings.timeframes]
        corrected = self._corrected()
        cursor = context.indicators.read_cursors(many)
        stored, _ = context.alerts.newest(10_000, lambda _: True)
        standing = {a.id: a.event for a in stored if not a.withdrawn}
        yield from (f"{i}: was not delivered" for i in standing if f"{i}|raised" not in self._world.hook.accepted)
        yield from badly_delivered(self._world)
        for series, seen in zip(many, cursor, strict=True):
            yield from self._problems_of(series, seen, standing, corrected.get(series.product, LATER))

    def _problems_of(
        self, series: Series, seen: AlertCursor | None, standing: Mapping[str, str], corrected_s: int
    ) -> list[str]:
        timeframe, step = series.timeframe, series.timeframe.seconds
        over_s = timeframe.last_over(self._ended_s - self._world.system.context.settings.settling_seconds)
        late_s = timeframe.last_over(self._true_s + LAG_S) - LATE_BARS * step
        mine = {i: event for i, event in standing.items() if f"|{series.product}|{timeframe}|" in i}
        first_s = min([late_s, *map(start_of, mine)]) - 2 * WINDOW * step
        source = self._products[series.product]
        truth = self._exchange.truth(source, timeframe, max(step, first_s), over_s)
        if not truth:
            return []
        if seen is None:
            return [f"{series}: alerts are not evaluated"]
        if seen.evaluated_s < max(truth):
            return [f"{series}: evaluated up to {seen.evaluated_s}, expected {max(truth)}"]
        began_s = self._world.watched_from_s.get(series.product, self._true_s)
        if seen.baseline_s > timeframe.last_over(began_s + LAG_S):
            return [f"{series}: bars up to {seen.baseline_s} count as history; it was there at {began_s:.0f}"]
        due = Due(seen.baseline_s, late_s, min(over_s, seen.evaluated_s), timeframe.bucket(corrected_s))
        bars = expected(truth, min(truth), due.last_s, step)
        return wrong_alerts_of(series, due, rows_of_bars(bars, self._provisional(series, late_s, due.last_s)), mine)

    def _provisional(self, series: Series, first_s: int, last_s: int) -> set[int]:
        """Provisional bars: they are not judged, because the system may not have the true candle yet."""
        records = self._world.system.context.candles.read(series, first_s, last_s).records
        return {int(r["start_s"]) for r in records if int(r["flags"]) & PROVISIONAL}

    def _corrected(self) -> dict[str, int]:
        """The first corrected bucket of each product."""
        rows = mismatches.latest(self._world.system.context.redis, 5_000)
        return {row["product"]: row["start"] for row in sorted(rows, key=lambda r: -r["start"])}


def badly_delivered(world: World) -> Iterator[str]:
    """Repeated messages although the record of the first delivery cannot be lost, and messages whose idempotency key is
    not their id.
    """
    for identity, first_s, again_s in world.hook.copies():
        if not any(from_s <= first_s <= until_s for from_s, until_s in world.losses):
            yield f"{identity}: was delivered again after {again_s - first_s:.1f} s"
    for got in world.hook.got:
        if got.headers.get("Idempotency-Key") != got.id:
            yield f"{got.id}: came with another key ({got.headers.get('Idempotency-Key')})"


def wrong_alerts_of(series: Series, due: Due, rows: Sequence[Row], standing: Mapping[str, str]) -> list[str]:
    """Errors in the `standing` alerts (ids, with their events) of one series, whose candles are `rows`.

    An alert that is due must follow from its rule; for another one it is enough that its event happened.
    """
    step, ending = series.timeframe.seconds, f"{series.product}|{series.timeframe}"
    judged = {
        start for run in runs_of(rows, step) for start in judged_bars(run) if due.baseline_s < start <= due.last_s
    }
    sure = range(max(due.late_s, due.baseline_s + step), min(due.corrected_s, due.last_s + step), step)
    alerts = expected_alerts(series.product, rows, step, max(due.baseline_s, due.late_s - step))
    wanted = {f"{a.rule}|{ending}|{a.start}": a.what for a in alerts if a.start in judged}
    wrong = []
    for identity, what in standing.items():
        start_s = start_of(identity)
        if start_s <= due.baseline_s:
            wrong.append(f"{identity}: stands, and is of history")
        elif start_s not in judged or wanted.get(identity) == what:
            continue
        elif start_s in sure or not happened(series, rows, identity, what):
            wrong.append(f"{identity} ({what}): stands, and should not")
    missing = (i for i in wanted if i not in standing and start_of(i) in sure)
    return wrong + [f"{i} ({wanted[i]}): should stand, and does not" for i in missing]


def happened(series: Series, rows: Sequence[Row], identity: str, what: str) -> bool:
    """Whether the bar of an alert shows its event, repetition or not."""
    start_s = start_of(identity)
    run = next(run for run in runs_of(rows, series.timeframe.seconds) if run[0].start <= start_s <= run[-1].start)
    window = [row for row in run if row.start <= start_s][-WINDOW:]
    shown = events(series.product, window, series.timeframe.seconds, Values.of(window), len(window) - 1)
    return (identity.split("|", 1)[0], what) in shown


def rows_of_bars(bars: Mapping[int, Bar], provisional: set[int]) -> list[Row]:
    """The exchange's candles as rows of the reference."""
    return [Row(s, b.high, b.low, b.close, b.trades, s in provisional) for s, b in bars.items()]


def start_of(identity: str) -> int:
    return int(identity.rsplit("|", 1)[1])

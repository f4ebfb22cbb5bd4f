"""The alert rules in plain Python over a whole history, written from their description without project code.

Levels: downward below zero and upward above it; of several crossed at once only the furthest. Reversal: previous and
current value beyond ±150 on one side and the histogram above 5 % of the value (oversold) or below −3 % (overbought),
once per visit of the zone. Stages: a bar differs from the bar before. Prices: the close crosses one. No event repeats
within three bars.

A value rests on the newest 500 candles up to its bar, including empty ones, without a gap. History restarts behind a
gap: the first 59 bars have no value. A bar without a value is skipped. A bar is not judged if it or the bar before is
provisional.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.macdv_reference import reference_macdv

READY = 60
COOLDOWN = 3
FAR = [n for n in range(-400, 401, 50) if abs(n) >= 150]
NEAR = [-120, -80, 80, 120]
PRICES = [0.09, 0.095, 0.1, 0.105]
STAGE_STEPS = (900, 3600, 14400)
WINDOW = 500

RULES = """
[[alerts.rule]]
name = "levels"
kind = "level"

[[alerts.rule]]
name = "near"
kind = "level"
levels = [-120, -80, 80, 120]

[[alerts.rule]]
name = "reversals"
kind = "reversal"

[[alerts.rule]]
name = "stages"
kind = "stage"
timeframes = ["15m", "1h", "4h"]

[[alerts.rule]]
name = "eth"
kind = "price"
products = ["ETH-BTC"]
prices = [0.09, 0.095, 0.1, 0.105]
"""
"""The same as a section of candlewick.toml."""


class Row(NamedTuple):
    """One candle. Without trades it carries the close before it."""

    start: int
    high: float
    low: float
    close: float
    traded: bool = True
    provisional: bool = False


class Expected(NamedTuple):
    """`what`: `-150 down`, the zone of a reversal, `rallying to retracing`, `0.1 up`."""

    rule: str
    start: int
    what: str
    price: float
    macdv: float | None
    histogram: float | None


def rows_of(rows: Sequence[Row], step: int) -> list[Row]:
    """Longer candles from shorter ones; only complete ones."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.start - row.start % step, []).append(row)
    full = step // (rows[1].start - rows[0].start)
    return [
        Row(start, max(r.high for r in g), min(r.low for r in g), g[-1].close, any(r.traded for r in g))
        for start, g in groups.items()
        if len(g) == full
    ]


def expected_alerts(product: str, rows: Sequence[Row], step: int, after: int) -> list[Expected]:
    """Every alert of one series, of bars that start after `after`. `rows`: oldest first, gaps allowed."""
    alerts: list[Expected] = []
    for run in runs_of(rows, step):
        if all(row.traded for row in run):
            found = all_alerts(product, run, step, Values.of(run))  # no influence beyond 500 candles
        else:  # an average of few true ranges changes with each candle that leaves the window
            found = [alert for end in range(1, len(run) + 1) for alert in newest(product, run, end, step, after)]
        judged = set(judged_bars(run))
        alerts += [alert for alert in found if alert.start > after and alert.start in judged]
    return alerts


def newest(product: str, run: Sequence[Row], end: int, step: int, after: int) -> list[Expected]:
    """The alerts of the last of the first `end` rows, if it starts after `after`."""
    window = run[max(0, end - WINDOW) : end]
    if window[-1].start <= after:
        return []
    values = Values.of(window)
    if not events(product, window, step, values, len(window) - 1):
        return []
    return [alert for alert in all_alerts(product, window, step, values) if alert.start == window[-1].start]


def runs_of(rows: Sequence[Row], step: int) -> list[list[Row]]:
    """`rows` split at their gaps."""
    runs: list[list[Row]] = []
    for row in rows:
        if runs and row.start == runs[-1][-1].start + step:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def judged_bars(run: Sequence[Row]) -> list[int]:
    """Bars of a run without gaps, unless they or the bar before are provisional."""
    return [row.start for i, row in enumerate(run) if not any(r.provisional for r in run[max(0, i - 1) : i + 1])]


class Values(NamedTuple):
    """The values of rows without gaps, bar by bar; None if there is none."""

    macdv: list[float | None]
    histogram: list[float | None]
    stages: list[str | None]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Values:
        prices = zip(*(row[1:4] for row in rows), strict=True)
        columns = reference_macdv(*prices, [row.traded for row in rows])
        macdv = [value if i >= READY - 1 else None for i, value in enumerate(columns["macdv"])]
        return cls(macdv, columns["histogram"], reference_stages(columns["macdv"], columns["signal"]))

    def valued_before(self, i: int) -> int | None:
        """The newest bar before `i` that has a value."""
        return next((b for b in range(i - 1, -1, -1) if self.macdv[b] is not None), None)


def all_alerts(product: str, rows: Sequence[Row], step: int, values: Values) -> list[Expected]:
    """Every alert of rows without gaps."""
    last_of: dict[str, int] = {}
    alerts, zone, is_zone_reported = [], "", False
    for i, row in enumerate(rows):
        value = values.macdv[i]
        if value is not None and zone_of(value) != zone:
            zone, is_zone_reported = zone_of(value), False
        for rule, what in events(product, rows, step, values, i):
            is_repeated = row.start - last_of.get(f"{rule} {what}", -(10**9)) < COOLDOWN * step
            if is_repeated or (rule == "reversals" and is_zone_reported):
                continue
            last_of[f"{rule} {what}"] = row.start
            is_zone_reported = is_zone_reported or rule == "reversals"
            histogram = None if value is None else values.histogram[i]
            alerts.append(Expected(rule, row.start, what, row.close, value, histogram))
    return alerts


def events(product: str, rows: Sequence[Row], step: int, values: Values, i: int) -> list[tuple[str, str]]:
    """The events of one bar, repetitions included."""
    found = []
    if i and product == "ETH-BTC":
        found += crossed("eth", PRICES, rows[i - 1].close, rows[i].close, anyway=True)
    value, b = values.macdv[i], values.valued_before(i)
    before = None if b is None else values.macdv[b]
    if value is None or before is None or b is None:
        return found
    found += crossed("levels", FAR, before, value) + crossed("near", NEAR, before, value)
    if turns(before, value, values.histogram[i]):
        found.append(("reversals", zone_of(value)))
    was, stage = values.stages[b], values.stages[i]
    if step in STAGE_STEPS and was is not None and stage is not None and was != stage:
        found.append(("stages", f"{was} to {stage}"))
    return found


def zone_of(value: float | None) -> str:
    """The zone beyond ±150, or ""."""
    return "" if value is None or abs(value) <= 150 else "oversold" if value < 0 else "overbought"


def turns(before: float, value: float, histogram: float | None) -> bool:
    """Whether the value turns back inside a zone in which the value before also was."""
    if histogram is None or not zone_of(value) or zone_of(before) != zone_of(value):
        return False
    return histogram > 0.05 * -value if value < 0 else histogram < -0.03 * value


def crossed(
    rule: str, lines: Sequence[float], before: float, value: float, anyway: bool = False
) -> list[tuple[str, str]]:
    down = [n for n in lines if value < n <= before and (anyway or n < 0)]
    up = [n for n in lines if before <= n < value and (anyway or n > 0)]
    return [(rule, f"{min(down):g} down")] if down else [(rule, f"{max(up):g} up")] if up else []


def reference_stages(macdv: Sequence[float | None], signal: Sequence[float | None]) -> list[str | None]:
    """The stage of each bar, by the table of StockCharts."""
    stages: list[str | None] = []
    calm = 0
    for value, line in zip(macdv, signal, strict=True):
        calm = calm + 1 if value is not None and abs(value) <= 50 else 0
        if value is None or line is None:
            stages.append(None)
        elif calm >= 20:
            stages.append("ranging")
        elif value < -150:
            stages.append("oversold")
        elif value < line:
            stages.append("reversing" if value < -50 else "retracing")
        elif value > 150:
            stages.append("overbought")
        else:
            stages.append("rallying" if value > 50 else "rebounding")
    return stages

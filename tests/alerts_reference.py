"""The alert rules in plain Python over a whole history, written from their description and from nothing of the project.

Levels: downward below zero and upward above it; of several crossed at once only the furthest. Reversal: previous and
current value beyond ±150 on one side and the histogram above 5 % of the value (oversold) or below −3 % (overbought),
once a visit of the zone. Stages: a bar has another one than the bar before. Prices: the close crosses one.
Nothing is repeated within three bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.macdv_reference import reference_macdv

READY = 60
COOLDOWN = 3
FAR = [n for n in range(-400, 401, 50) if abs(n) >= 150]
NEAR = [-120, -80, 80, 120]

RULES = """
[[rule]]
name = "levels"
kind = "level"

[[rule]]
name = "near"
kind = "level"
levels = [-120, -80, 80, 120]

[[rule]]
name = "reversals"
kind = "reversal"

[[rule]]
name = "stages"
kind = "stage"
timeframes = ["15m", "1h", "4h"]

[[rule]]
name = "eth"
kind = "price"
products = ["ETH-BTC"]
prices = [0.09, 0.095, 0.1, 0.105]
"""
"""The same as an alerts file."""


class Row(NamedTuple):
    start: int
    high: float
    low: float
    close: float


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
        Row(start, max(r.high for r in g), min(r.low for r in g), g[-1].close)
        for start, g in groups.items()
        if len(g) == full
    ]


def expected_alerts(product: str, rows: Sequence[Row], step: int, after: int) -> list[Expected]:
    """Every alert of one series without holes, of bars that start after `after`."""
    traded = [True] * len(rows)
    columns = reference_macdv([r.high for r in rows], [r.low for r in rows], [r.close for r in rows], traded)
    stages = reference_stages(columns["macdv"], columns["signal"])
    told: dict[str, int] = {}
    alerts, was_in, said_of_zone = [], 0, False
    for i in range(1, len(rows)):
        value, histogram, before = columns["macdv"][i], columns["histogram"][i], columns["macdv"][i - 1]
        found = crossed("eth", [0.09, 0.095, 0.1, 0.105], rows[i - 1].close, rows[i].close, anyway=True)
        found = found if product == "ETH-BTC" else []
        zone = 0
        if i >= READY - 1:
            assert value is not None
            zone = -1 if value < -150 else 1 if value > 150 else 0
        if zone != was_in:
            said_of_zone = False
        if i >= READY:
            assert value is not None
            assert before is not None
            assert histogram is not None
            found += crossed("levels", FAR, before, value) + crossed("near", NEAR, before, value)
            turning = histogram > 0.05 * -value if zone < 0 else histogram < -0.03 * value
            if zone and zone == was_in and turning and not said_of_zone:
                found.append(("reversals", "oversold" if zone < 0 else "overbought"))
            if stages[i] != stages[i - 1] and step in (900, 3600, 14400):
                found.append(("stages", f"{stages[i - 1]} to {stages[i]}"))
        was_in = zone
        for rule, what in found:
            if rows[i].start - told.get(f"{rule} {what}", -(10**9)) < COOLDOWN * step:
                continue
            told[f"{rule} {what}"] = rows[i].start
            said_of_zone = said_of_zone or rule == "reversals"
            if rows[i].start > after:
                known = i >= READY - 1
                numbers = (value, histogram) if known else (None, None)
                alerts.append(Expected(rule, rows[i].start, what, rows[i].close, *numbers))
    return alerts


def crossed(
    rule: str, lines: Sequence[float], before: float, value: float, anyway: bool = False
) -> list[tuple[str, str]]:
    down = [n for n in lines if value < n <= before and (anyway or n < 0)]
    up = [n for n in lines if before <= n < value and (anyway or n > 0)]
    return [(rule, f"{min(down):g} down")] if down else [(rule, f"{max(up):g} up")] if up else []


def reference_stages(macdv: Sequence[float | None], signal: Sequence[float | None]) -> list[str | None]:
    """The stage of each bar, after the table of StockCharts."""
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

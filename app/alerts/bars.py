"""The input of alert rules: the newest bars of one series, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.indicators.macdv import MacdvPoint, MacdvSeries
from app.indicators.stages import STAGES, Stage
from app.indicators.window import MIN_CANDLES
from app.market.records import Records

FEW, MANY = 32, 100
"""Bounds of a span of history, in bars. Two spans of `MANY` bars stay clear of a window's warm-up error."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Columns of equal length, oldest bar first: bucket start (UNIX seconds), close, and MACD-V in points.

    A value is None if it does not exist or is not ready: such a bar is not a base for a crossing.
    """

    start_s: Sequence[int]
    close: Sequence[float]
    macdv: Sequence[float | None]
    histogram: Sequence[float | None]
    stage: Sequence[Stage | None]

    def __len__(self) -> int:
        return len(self.start_s)

    def before(self, bar: int) -> int | None:
        """The newest bar before `bar` that has a MACD-V."""
        while bar > 0:
            bar -= 1
            if self.macdv[bar] is not None:
                return bar
        return None


def history_of(start_s: int, step: int, span: int) -> int:
    """Number of bars to evaluate for one bar: one to two spans.

    They begin at a multiple of the span, so that neighbouring bars use the same past and agree on its events.
    """
    return span + start_s // step % span + 1


def newest_bars(window: Records, values: MacdvSeries, count: int) -> Bars:
    """The last `count` bars of `window` (contiguous closed candles) and of the `values` computed from it."""
    first = max(0, len(window) - count)
    unready = max(0, MIN_CANDLES - 1 - first)  # bars from too few candles

    def known(column: Sequence[float]) -> list[float | None]:
        return [value if i >= unready and value == value else None for i, value in enumerate(column)]

    stages = values.stages[first:].tolist()
    return Bars(
        start_s=window["start_s"][first:].tolist(),
        close=window["close"][first:].tolist(),
        macdv=known(values.macdv[first:].tolist()),
        histogram=known(values.histogram[first:].tolist()),
        stage=[STAGES[code] if i >= unready else None for i, code in enumerate(stages)],
    )


def compared_bars(window: Records, values: MacdvSeries) -> Bars:
    """The last bar of `window`, and the bars back to the one it is compared with."""
    two = newest_bars(window, values, 2)
    if len(window) <= MIN_CANDLES or two.macdv[-1] is None or two.macdv[-2] is not None:
        return two
    return newest_bars(window, values, len(window))  # the bar before has no value, as after a long flat price


def ready_point(window: Records, values: MacdvSeries) -> MacdvPoint | None:
    """The values of the last bar of `window`; None if they are not ready."""
    return values.point(-1) if len(window) >= MIN_CANDLES and values.macdv[-1] == values.macdv[-1] else None

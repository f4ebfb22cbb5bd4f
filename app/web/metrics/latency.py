"""Real seconds from a close to the indicator that it leads to, by the ids of both events. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

import orjson

from app.events import Event

BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """How many observations were at most each of `BOUNDS_S`, or more than all of them; and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, observations up to it), as Prometheus wants them."""
        total, rows = 0, []
        for bound, count in zip((*BOUNDS_S, float("inf")), self.counts, strict=True):
            total += count
            rows.append(("+Inf" if bound == float("inf") else f"{bound:g}", float(total)))
        return rows


class CloseToIndicator:
    """Pairs closes with indicators of the same bar. Remembers one close a series, so it is bounded."""

    def __init__(self) -> None:
        self.by_timeframe: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._closed: dict[tuple[str, str], tuple[int | None, int]] = {}

    def observe(self, events: Iterable[Event]) -> None:
        """`events` in their order."""
        for event in events:
            series = (event.product, event.timeframe)
            if event.kind == "close":
                self._closed[series] = (_start(event), event.id.ms)
            elif event.kind == "indicator" and series in self._closed:
                start, closed_ms = self._closed[series]
                if _start(event) == start:
                    del self._closed[series]
                    self.by_timeframe[event.timeframe].observe((event.id.ms - closed_ms) / 1000)


def _start(event: Event) -> int | None:
    """The bar that `event` is of."""
    try:
        start = orjson.loads(event.data).get("start")
    except (ValueError, AttributeError):  # a stream has room for what others wrote into it
        return None
    return start if isinstance(start, int) else None

"""Real seconds from a close to the indicator that follows from it, by the ids of both events."""

from __future__ import annotations

import orjson
from prometheus_client import Histogram, disable_created_metrics

from app.events import Event, EventId
from app.storage.events import EventStream
from app.web.metrics.families import PREFIX

MAX_PAGES = 100
"""Pages of events read per scrape; further ones wait for the next."""

BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
disable_created_metrics()  # type: ignore[no-untyped-call]


class LatencyWatch:
    """Follows the event stream from its first read on, and pairs closes with indicators of the same bar.

    Remembers one close per series, so it is bounded. Not thread-safe.
    """

    def __init__(self, stream: EventStream) -> None:
        self._histogram = Histogram(
            PREFIX + "close_to_indicator_seconds",
            "Real seconds from a close to the indicator of that bar, since the first scrape of this process.",
            ["timeframe"],
            buckets=BOUNDS_S,
            registry=None,
        )
        self._stream = stream
        self._position: EventId | None = None
        self._closed: dict[tuple[str, str], tuple[int | None, int]] = {}

    def read(self) -> Histogram:
        """The histogram, with all new events in it. Events that were trimmed in between are not counted."""
        for _ in range(MAX_PAGES):
            page = self._stream.read(self._position)
            for event in page.events:
                self._observe(event)
            if page.position == self._position:
                break
            self._position = page.position
        return self._histogram

    def _observe(self, event: Event) -> None:
        series = (event.product, event.timeframe)
        if event.kind == "close":
            self._closed[series] = (_start(event), event.id.ms)
        elif event.kind == "indicator" and series in self._closed:
            start, closed_ms = self._closed[series]
            if _start(event) == start:
                del self._closed[series]
                self._histogram.labels(event.timeframe).observe((event.id.ms - closed_ms) / 1000)


def _start(event: Event) -> int | None:
    """The bar that `event` is of."""
    try:
        start = orjson.loads(event.data).get("start")
    except (ValueError, AttributeError):  # a stream has room for what others wrote into it
        return None
    return start if isinstance(start, int) else None

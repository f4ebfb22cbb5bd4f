"""The exchange's side of one connection, for tests of the session: sends its frames, returns the events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.exchange.adapter import CandleClosed, CandleUpdated, FeedEvent, FrameRejected, GapSuspected
from app.exchange.coinbase.session import CoinbaseSession
from app.market.candles import UnifiedCandle

T = 1_769_093_400
"""Start of the bucket in which the tests begin (UNIX seconds)."""
STEP = 300
BTC, ETH = "BTC-USD", "ETH-USD"


def timestamp(time_s: float) -> str:
    whole = datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{round(time_s % 1 * 1000):03d}419882Z"


def row(start_s: int, volume: float = 1, close: float = 100, product: str = BTC, **more: Any) -> dict[str, Any]:
    """A candle as the exchange sends it; its other prices follow from `close`."""
    numbers = {
        "start": start_s,
        "high": max(close, 100) + 5,
        "low": min(close, 100) - 5,
        "open": 100,
        "close": close,
        "volume": volume,
    }
    return {**{k: f"{v:g}" if k != "start" else str(v) for k, v in numbers.items()}, "product_id": product, **more}


class Venue:
    """One connection to a session. `now_ms` is real time; `time_s` the exchange's; tests move both."""

    def __init__(self, *products: str, **options: Any) -> None:
        self.session = CoinbaseSession("coinbase-1", products or (BTC,), **options)
        self.now_ms = 1_000_000
        self.time_s: float = T + 10
        self.seq = 0
        self.opened = self.open()

    def open(self) -> list[FeedEvent]:
        self.seq = 0
        events = self.session.opened(self.now_ms)
        self.sent = [json.loads(request) for request in self.session.requests()]
        return events

    def close(self, reason: str = "closed by the exchange: 1001") -> list[FeedEvent]:
        return self.session.closed(self.now_ms, reason)

    def reconnect(self, *accepted: str, at: float) -> list[FeedEvent]:
        """A break until exchange time `at`; the events since its end."""
        self.close()
        self.time_s = at
        self.open()
        return self.ack(*accepted) + self.beat()

    def pass_ms(self, ms: int) -> list[FeedEvent]:
        """Let real time pass."""
        self.now_ms += ms
        return self.session.tick(self.now_ms)

    def envelope(self, channel: str, events: Iterable[Any], **more: Any) -> dict[str, Any]:
        frame = {"channel": channel, "timestamp": timestamp(self.time_s), "sequence_num": self.seq, "events": [*events]}
        self.seq += 1
        return frame | more

    def deliver(self, frame: object) -> list[FeedEvent]:
        data = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        return self.session.frame(data, self.now_ms)

    def send(self, channel: str, events: Iterable[Any], at: float | None = None, **more: Any) -> list[FeedEvent]:
        self.time_s = self.time_s if at is None else at
        return self.deliver(self.envelope(channel, events, **more))

    def update(self, *rows: Mapping[str, Any], at: float | None = None) -> list[FeedEvent]:
        return self.send("candles", [{"type": "update", "candles": list(rows)}], at)

    def snapshot(self, *rows: Mapping[str, Any], at: float | None = None) -> list[FeedEvent]:
        return self.send("candles", [{"type": "snapshot", "candles": list(rows)}], at)

    def beat(self, at: float | None = None) -> list[FeedEvent]:
        return self.send(
            "heartbeats", [{"current_time": "2026-07-16 20:28:53.1 +0000 UTC", "heartbeat_counter": 7}], at
        )

    def beats_until(self, at: float, every_s: float = 60) -> list[FeedEvent]:
        """Heartbeats, real second by real second, until exchange time `at`."""
        events: list[FeedEvent] = []
        while self.time_s < at:
            self.now_ms += 1000
            events += self.beat(min(at, self.time_s + every_s))
        return events

    def ack(self, *products: str, at: float | None = None) -> list[FeedEvent]:
        channels = {"candles": list(products or (BTC,)), "heartbeats": ["heartbeats"]}
        return self.send("subscriptions", [{"subscriptions": channels}], at)

    def lose(self, frames: int = 1) -> None:
        """Skip the numbers of lost frames."""
        self.seq += frames


def updates(events: Iterable[FeedEvent]) -> list[UnifiedCandle]:
    return [e.candle for e in events if isinstance(e, CandleUpdated)]


def closes(events: Iterable[FeedEvent]) -> list[UnifiedCandle]:
    return [e.candle for e in events if isinstance(e, CandleClosed)]


def gaps(events: Iterable[FeedEvent]) -> list[GapSuspected]:
    return [e for e in events if isinstance(e, GapSuspected)]


def rejections(events: Iterable[FeedEvent]) -> list[str]:
    return [e.reason for e in events if isinstance(e, FrameRejected)]


def spans(events: Iterable[FeedEvent]) -> list[tuple[int, int, bool]]:
    """Each gap as (first bucket, last bucket, settled only), buckets counted from `T`."""
    return [((g.first_s - T) // STEP, (g.last_s - T) // STEP, g.settled_only) for g in gaps(events)]

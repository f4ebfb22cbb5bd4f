"""The exchange's stream: one link for each connection of an ingest, around the project's own session.

Frames are few: one per trade, and heartbeats at the ends of buckets and while a process waits for the clock. The
session measures silence by a clock that advances at most a second between two calls, as the project's does when its
thread stalled; if a fault makes a link silent, its seconds are simulated one by one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from app.exchange.adapter import FeedEvent
from app.exchange.session import StreamSession
from tests.simulation.market import STEP_S, Bar

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

BACKOFF_S = (0.5, 6.0)
SNAPSHOT_ROWS = 4


@dataclass
class Faults:
    """Active faults of one link. Shares are of frames."""

    frozen: bool = False
    no_candles: bool = False
    no_beats: bool = False
    silent_product: str = ""
    drops: float = 0.0
    doubles: float = 0.0
    swaps: float = 0.0


class Link:
    """One connection slot. Stands in for the project's thread and socket around a session."""

    def __init__(
        self, world: World, process: Process, session: StreamSession, emit: Callable[[FeedEvent], None]
    ) -> None:
        self.session = session
        self.faults = Faults()
        self._world = world
        self._process = process
        self._put = emit
        self._awake_ms = 1_000_000
        self._seen_us = world.scheduler.now_us
        self._number = 0
        self._late: list[bytes] = []
        self._beats = 0
        self._is_stopped = False

    # Called by the project's adapter.

    @property
    def is_open(self) -> bool:
        return self.session.is_open

    @property
    def products(self) -> list[str]:
        return self.session.products

    @property
    def streams(self) -> list[str]:
        return self.session.streams

    def start(self) -> None:
        self._world.links.append(self)
        self._reopen(0.05)

    def stop(self) -> None:
        self._is_stopped = True
        if self in self._world.links:
            self._world.links.remove(self)
        self._emit(self.session.closed(self._now(), "we disconnected"))

    def join(self) -> None:
        pass

    def subscribe(self, products: list[str], aliases: Mapping[str, str]) -> None:
        self.session.subscribe(products, aliases)
        self._answer_requests()

    def unsubscribe(self, products: list[str]) -> None:
        self.session.unsubscribe(products)
        self._answer_requests()

    def health(self) -> None:
        return None

    # Called by the exchange.

    def belongs_to(self, process: Process) -> bool:
        return self._process is process

    @property
    def is_odd(self) -> bool:
        """Whether its seconds are simulated one by one."""
        faults = self.faults
        return self.session.is_open and (
            faults.frozen or faults.no_candles or faults.no_beats or not self.session.products
        )

    def forget(self) -> None:
        """The process was killed: call nothing of it any more."""
        self._is_stopped = True

    def cut(self, reason: str) -> None:
        """Close the connection, and reconnect after a delay."""
        if self.session.is_open:
            self._world.note(f"{self._process.name} link", f"lost: {reason}")
            self._late.clear()
            self._emit(self.session.closed(self._now(), reason))
            self._reopen(self._chance.uniform(*BACKOFF_S))

    def beat(self) -> None:
        """Send a heartbeat and tick the session."""
        if not self.session.is_open:
            return
        if not (self.faults.frozen or self.faults.no_beats):
            self._beats += 1
            self._send("heartbeats", [{"heartbeat_counter": self._beats}])
        if self.session.is_open:
            self._emit(self.session.tick(self._now()))
        if self.session.is_open:
            self._answer_requests()
            if self.session.must_reconnect:
                self.cut(self.session.must_reconnect)

    def update(self, product: str, bar: Bar) -> None:
        """Send an update after a trade has changed `bar`."""
        if self.delivers(product):
            self._send("candles", [{"type": "update", "candles": [_row(product, bar)]}])

    def delivers(self, product: str) -> bool:
        faults = self.faults
        is_silent = faults.frozen or faults.no_candles or faults.silent_product == product
        return self.session.is_open and not is_silent and product in self.session.streams

    @property
    def _chance(self) -> random.Random:
        return self._world.chance

    def _now(self) -> int:
        now_us = self._world.scheduler.now_us
        self._awake_ms += min(1000, (now_us - self._seen_us) // 1000)
        self._seen_us = now_us
        return self._awake_ms

    def _reopen(self, after_s: float) -> None:
        self._world.scheduler.after(after_s, self._open)

    def _open(self) -> None:
        if self._is_stopped or self.session.is_open:
            return
        if self._world.venue.down or self._world.refuses_links:
            self._reopen(self._chance.uniform(*BACKOFF_S) * 2)
            return
        self._number = 0
        self._emit(self.session.opened(self._now()))
        self._answer_requests()
        self.beat()

    def _answer_requests(self) -> None:
        if not self.session.is_open:
            return
        for request in map(orjson.loads, self.session.requests()):
            listed = [p for p in self.session.streams if self._world.venue.listed.get(p)]
            channels = {"candles": listed, "heartbeats": ["heartbeats"]}
            if request["channel"] == "candles" and request["type"] == "subscribe" and not self.faults.frozen:
                for product in request["product_ids"]:
                    self._snapshot(product)
            self._send("subscriptions", [{"subscriptions": channels}])

    def _snapshot(self, product: str) -> None:
        trade_log, now_ms = self._world.venue.trade_logs.get(product), self._world.scheduler.now_ms
        if trade_log is None or not self._world.venue.listed[product]:
            return
        open_s = now_ms // 1000 // STEP_S * STEP_S
        older = trade_log.bars(STEP_S, open_s - SNAPSHOT_ROWS * STEP_S, open_s - STEP_S)
        bars = [bar for bar in older if self._chance.random() > 0.4]
        zero_ms = self._world.zero_ms if self._world.zero_ms // 1000 >= open_s else 0
        if (bar := trade_log.partial(STEP_S, now_ms, zero_ms)) is not None:
            bars.append(bar)
        self._send("candles", [{"type": "snapshot", "candles": [_row(product, bar) for bar in bars]}])

    def _send(self, channel: str, events: list[Any]) -> None:
        time_ms = self._world.scheduler.now_ms + self._world.venue.leap_ms
        frame = {"channel": channel, "timestamp": _timestamp(time_ms), "sequence_num": self._number, "events": events}
        self._number += 1
        self._through_the_network(orjson.dumps(frame))

    def _through_the_network(self, data: bytes) -> None:
        faults, luck = self.faults, self._chance.random() if self._is_rough else 1.0
        if luck < faults.drops:
            return
        if luck < faults.drops + faults.swaps:
            self._late.append(data)
            return
        late, self._late = self._late, []
        for frame in (data, *late, *([data] if luck < faults.drops + faults.swaps + faults.doubles else [])):
            self._emit(self.session.frame(frame, self._now()))

    @property
    def _is_rough(self) -> bool:
        return bool(self.faults.drops or self.faults.swaps or self.faults.doubles)

    def _emit(self, events: Iterable[FeedEvent]) -> None:
        for event in events:
            self._put(event)
            self._process.wake_ingest()


def _row(product: str, bar: Bar) -> dict[str, str]:
    names = ("start", "open", "high", "low", "close", "volume")
    return {"product_id": product, **{name: str(value) for name, value in zip(names, bar, strict=True)}}


def _timestamp(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03d}Z"

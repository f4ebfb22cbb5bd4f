"""The WebSocket feed: sends frames to the subscribed connections."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from itertools import count

import numpy as np

from app.market.timeframes import Timeframe
from simulator import frames, noise
from simulator.clock import ExchangeClock
from simulator.connection import Connection
from simulator.faults import Faults
from simulator.ledger import Ledger
from simulator.market import Product
from simulator.options import Options
from simulator.quotes import Levels, Quotes, changes
from simulator.snapshots import CandleSnapshots
from simulator.stream_faults import EarlyTimestamps, HeartbeatJump, HeartbeatText, LoseTrades, NoFinalUpdate
from simulator.ticker import STEP_MS, STEP_S, CandleTicker, track
from simulator.trade_log import TradeLog

log = logging.getLogger(__name__)

SNAPSHOT_TRADES = 100
TICKER_BATCH_S = 5.0
MAX_JUMP_MS = 3_600_000
"""A clock that moves further than this between two ticks was set; nothing of the time between is sent."""
_WORK_AHEAD_S = 0.02
_PHASE_NS = 297_367_764
"""A heartbeat comes this long after a whole second of its process."""


class Feed:
    """All connections, and the loop that feeds them. Belongs to one event loop."""

    def __init__(
        self, trade_log: TradeLog, clock: ExchangeClock, options: Options, faults: Faults, ledger: Ledger
    ) -> None:
        self._trade_log = trade_log
        self._clock = clock
        self._options = options
        self._faults = faults
        self._ledger = ledger
        self._snapshots = CandleSnapshots(trade_log, options, faults)
        self._quotes = Quotes(trade_log)
        self._ticker = CandleTicker(trade_log)
        self._books: dict[str, Levels] = {}
        self._numbers = count(1)
        self._beats = 0
        self._seen_ns = clock.now_ns()
        self._batch_at = self._beat_at = time.monotonic()
        self.connections: dict[int, Connection] = {}

    def number(self) -> int:
        """A number for a new connection."""
        return next(self._numbers)

    def leave(self, connection: Connection) -> None:
        self.connections.pop(connection.number, None)
        self._watch_only_wanted()

    def clock_changed(self) -> None:
        """Start again at the present time."""
        self._seen_ns = self._clock.now_ns()
        self._count_from(0)

    def trades_changed(self) -> None:
        """Read the present buckets again."""
        self._ticker.restart(self._seen_ms)

    def count_from_zero(self) -> None:
        """Leave trades until now out of the open bucket, as a restarted server does."""
        self._count_from(self._seen_ms + 1)

    def _count_from(self, zero_ms: int) -> None:
        self._snapshots.zero_ms = self._ticker.zero_ms = zero_ms
        self._ticker.restart(self._seen_ms)

    # --- subscriptions

    async def subscribe(self, connection: Connection, channel: str, products: Iterable[str]) -> None:
        """Send the channel's snapshots, one frame per product; updates follow each."""
        wanted = connection.subscriptions.setdefault(channel, {})
        for product in products:
            if channel != "heartbeats":
                self._snapshot(connection, channel, self._trade_log.products[product])
            wanted[product] = None
            if channel == "candles":
                self._ticker.watch(product, self._seen_ms)
            await asyncio.sleep(0)

    def unsubscribe(self, connection: Connection, channel: str, products: Iterable[str] | None) -> None:
        """Stop the channel for `products`; None: for all."""
        wanted = connection.subscriptions.get(channel, {})
        for product in list(wanted) if products is None else products:
            wanted.pop(product, None)
        self._watch_only_wanted()

    def acknowledge(self, connection: Connection) -> None:
        """Send the list of all subscriptions of the connection."""
        connection.send(
            "subscriptions", self._timestamp("subscriptions"), frames.subscriptions(connection.subscriptions)
        )

    def _watch_only_wanted(self) -> None:
        self._ticker.keep(self._wanted("candles"))
        wanted = self._wanted("level2")
        self._books = {name: levels for name, levels in self._books.items() if name in wanted}

    def _wanted(self, channel: str) -> set[str]:
        return {product for c in self.connections.values() for product in c.subscriptions.get(channel, ())}

    def _snapshot(self, connection: Connection, channel: str, product: Product) -> None:
        match channel:
            case "candles":
                self._candle_snapshot(connection, product)
            case "level2":
                levels = self._books.setdefault(product.name, self._quotes.levels(product, self._seen_ms))
                self._send(connection, channel, product, self._book("snapshot", product, levels))
            case _:
                self._send(connection, channel, product, self._rows("snapshot", channel, product))

    def _rows(self, kind: str, channel: str, product: Product) -> str:
        """The events of a frame with rows, as of the loop's last tick: its next frame continues there."""
        match channel:
            case "market_trades":
                trades = self._trade_log.last_trades(product.name, self._seen_ms + 1, SNAPSHOT_TRADES)
                return frames.events(kind, "trades", frames.trade_rows(product, trades))
            case "status":
                return frames.events(kind, "products", [self._quotes.status(product, self._seen_ms)])
        row = self._quotes.ticker(product, self._seen_ms, batch=channel == "ticker_batch")
        return frames.events(kind, "tickers", [row])

    def _candle_snapshot(self, connection: Connection, product: Product) -> None:
        # As of the last tick: later, it could contain a bucket before the last update of the previous one is sent.
        if rows := self._snapshots.read(product.name, self._seen_ms):
            self._send(connection, "candles", product, frames.candles("snapshot", product, rows))

    # --- the loop

    async def run(self) -> None:
        """Feed the connections until cancelled."""
        while True:
            started = time.monotonic()
            self.tick()
            self._work_ahead()
            now = time.monotonic()
            next_update = started + self._options.update_seconds(self._clock.speed) - now
            await asyncio.sleep(max(0.001, min(next_update, self._beat_at - now, self._until_boundary())))

    def _until_boundary(self) -> float:
        """Real seconds to just after the end of the open bucket."""
        return self._clock.real_seconds_until(self._seen_ms // STEP_MS * STEP_MS + STEP_MS) + 0.001

    def tick(self) -> None:
        """Send everything that is due now."""
        now_ns, since_ms = self._clock.now_ns(), self._seen_ms
        now_ms = now_ns // 1_000_000
        if not 0 <= now_ms - since_ms <= max(MAX_JUMP_MS, 5_000 * self._clock.speed):
            log.info("the clock was set: %s", frames.rfc3339_nano(now_ms * 1_000_000))
            self.clock_changed()
            return
        self._seen_ns = now_ns
        if self.connections:
            self._send_candles(now_ms)
            self._send_trades(since_ms, now_ms)
            self._send_tickers(since_ms, now_ms)
        self._beat()
        self._drop_idle()

    def _work_ahead(self) -> None:
        until = time.monotonic() + _WORK_AHEAD_S
        for _ in self._ticker.prepare(self._seen_ms):
            if time.monotonic() > until:
                break

    def _send_candles(self, now_ms: int) -> None:
        final = self._options.final_update and not self._faults.find(NoFinalUpdate)
        for name, values in self._ticker.due(now_ms, final_update=final):
            product = self._trade_log.products[name]
            self._broadcast("candles", product, frames.candles("update", product, [values]))

    def _send_trades(self, since_ms: int, now_ms: int) -> None:
        for name in self._wanted("market_trades"):
            trades = self._trade_log.trades(name, since_ms + 1, now_ms + 1)
            if len(trades) and self._faults.take(LoseTrades, lambda _: True):
                trades = trades[1:]
            if len(trades):
                product = self._trade_log.products[name]
                rows = frames.trade_rows(product, trades)
                self._broadcast("market_trades", product, frames.events("update", "trades", rows))

    def _send_tickers(self, since_ms: int, now_ms: int) -> None:
        for name in self._wanted("ticker") | self._wanted("level2"):
            if len(self._trade_log.trades(name, since_ms + 1, now_ms + 1)):
                product = self._trade_log.products[name]
                self._broadcast("ticker", product, self._rows("update", "ticker", product))
                self._update_book(product, now_ms)
        if time.monotonic() >= self._batch_at:
            self._batch_at = time.monotonic() + TICKER_BATCH_S
            for name in self._wanted("ticker_batch"):
                product = self._trade_log.products[name]
                self._broadcast("ticker_batch", product, self._rows("update", "ticker_batch", product))

    def _update_book(self, product: Product, now_ms: int) -> None:
        before = self._books.get(product.name)
        if before is None:
            return
        after = self._quotes.levels(product, now_ms)
        self._books[product.name] = after
        if changed := changes(before, after):
            self._broadcast("level2", product, self._book("update", product, changed))

    def _beat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = max(self._beat_at + self._options.heartbeat_ms / 1000, time.monotonic())
        text = self._options.heartbeat_text or self._faults.find(HeartbeatText) is not None
        period_ns = int(self._options.heartbeat_ms * 1_000_000)
        self._beats += 2 if self._faults.find(HeartbeatJump) else 1
        for connection in self.connections.values():
            if connection.subscriptions.get("heartbeats"):
                # Each connection is served by another "process", with another uptime.
                counter = self._beats + _uptime_s(connection.number)
                events = frames.heartbeat(self._seen_ns, counter, counter * period_ns + _PHASE_NS, text=text)
                connection.send("heartbeats", self._timestamp("heartbeats"), events)

    def _drop_idle(self) -> None:
        limit = time.monotonic() - self._options.idle_s
        for connection in self.connections.values():
            if connection.last_frame_s < limit and not connection.half_open and not connection.ws.closed:
                self._ledger.socket(connection.number, "closing", "idle")
                connection.abort()

    # --- acts

    def candle_snapshots(self) -> None:
        """Send every candle snapshot again."""
        for connection in self.connections.values():
            for name in connection.subscriptions.get("candles", ()):
                self._candle_snapshot(connection, self._trade_log.products[name])

    def announce(self, name: str, start_s: int) -> None:
        """Send the present candle of `start_s`."""
        product = self._trade_log.products[name]
        rows = self._trade_log.candles(name, Timeframe.M5, start_s, start_s + STEP_S, self._clock.now_ms()).tolist()
        if rows:
            self._broadcast("candles", product, frames.candles("update", product, rows))

    def send_stale(self, name: str, buckets_back: int) -> None:
        """Send the first state of a bucket again."""
        product, start_ms = self._trade_log.products[name], (self._clock.now_ms() // STEP_MS - buckets_back) * STEP_MS
        if states := track(self._trade_log, name, start_ms).states:
            self._broadcast("candles", product, frames.candles("update", product, states[:1]))

    # --- frames

    @property
    def _seen_ms(self) -> int:
        return self._seen_ns // 1_000_000

    def _timestamp(self, channel: str) -> str:
        """Time of the last tick: no frame has a time whose candles are still unsent, however busy the loop is."""
        early = self._faults.take(EarlyTimestamps, lambda fault: fault.channel in (None, channel))
        return frames.rfc3339_nano(self._seen_ns - (int(early.seconds * 1e9) if early else 0))

    def _broadcast(self, channel: str, product: Product, events: str) -> None:
        for connection in self.connections.values():
            if connection.wants(channel, product.name):
                self._send(connection, channel, product, events)

    def _send(self, connection: Connection, channel: str, product: Product, events: str) -> None:
        wire = "l2_data" if channel == "level2" else channel
        connection.send(wire, self._timestamp(channel), events, subscription=channel, product=product.name)

    def _book(self, kind: str, product: Product, levels: Levels) -> str:
        at = frames.trade_time(self._seen_ms)
        rows = [
            {"side": side, "event_time": at, "price_level": product.price(p), "new_quantity": product.size(size)}
            for (side, p), size in levels.items()
        ]
        return frames.events(kind, "updates", rows, product_id=product.name)


def _uptime_s(connection: int) -> int:
    return 1_000 + int(noise.uniform(3, np.array([connection]))[0] * 100_000)

"""The WebSocket feed: what goes to which connection, and when."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from itertools import count

import numpy as np

from app.exchange.local import frames, noise
from app.exchange.local.clock import ExchangeClock
from app.exchange.local.connection import Connection
from app.exchange.local.faults import Faults, HeartbeatText, NoFinalUpdate, Snapshot
from app.exchange.local.frames import CandleValues
from app.exchange.local.ledger import Ledger
from app.exchange.local.market import Candles, Product
from app.exchange.local.options import Options
from app.exchange.local.stats import Day, DayStats, book
from app.exchange.local.tape import Tape
from app.exchange.local.ticker import STEP_MS, STEP_S, CandleTicker, track
from app.timeframes import Timeframe

log = logging.getLogger(__name__)

SNAPSHOT_CANDLES = 100
SNAPSHOT_TRADES = 100
BOOK_DEPTH = 50
TICKER_BATCH_S = 5.0
MAX_JUMP_MS = 3_600_000
"""A clock that moves further than this between two looks was set; nothing of the time between is sent."""
_WORK_AHEAD_S = 0.008
_SPARSE_BUCKETS = 360


class Feed:
    """All connections and the loop that feeds them."""

    def __init__(self, tape: Tape, clock: ExchangeClock, options: Options, faults: Faults, ledger: Ledger) -> None:
        self._tape = tape
        self._clock = clock
        self._options = options
        self._faults = faults
        self._ledger = ledger
        self._started_ns = time.monotonic_ns()
        self._numbers = count(1)
        self._ticker = CandleTicker(tape)
        self._stats = DayStats(tape)
        self._seen_ms = clock.now_ms()
        self._batch_at = self._beat_at = time.monotonic()
        self._books: dict[str, dict[tuple[str, int], int]] = {}
        self.connections: dict[int, Connection] = {}

    # --- connections and their subscriptions

    def number(self) -> int:
        return next(self._numbers)

    def leave(self, connection: Connection) -> None:
        self.connections.pop(connection.number, None)
        self._watch_only_wanted()

    def clock_changed(self) -> None:
        """Begin again from now."""
        self._seen_ms = self._clock.now_ms()
        self._ticker.restart(self._seen_ms)

    def tape_changed(self) -> None:
        """Look at the present buckets again."""
        self._ticker.restart(self._seen_ms)

    async def subscribe(self, connection: Connection, channel: str, products: Iterable[str]) -> None:
        """Send the channel's snapshots, one frame a product, and let updates follow each."""
        wanted = connection.subscriptions.setdefault(channel, {})
        for product in products:
            self._snapshot(connection, channel, product)
            wanted[product] = None
            if channel == "candles":
                self._ticker.watch(product, self._seen_ms)
            await asyncio.sleep(0)

    def unsubscribe(self, connection: Connection, channel: str, products: Iterable[str] | None) -> None:
        """Stop the channel for `products`, or altogether."""
        wanted = connection.subscriptions.get(channel, {})
        for product in list(wanted) if products is None else products:
            wanted.pop(product, None)
        self._watch_only_wanted()

    def acknowledge(self, connection: Connection) -> None:
        connection.send("subscriptions", self._timestamp(), frames.subscriptions(connection.subscriptions))

    def _watch_only_wanted(self) -> None:
        self._ticker.keep(self._wanted("candles"))

    def _wanted(self, channel: str) -> set[str]:
        return {product for c in self.connections.values() for product in c.subscriptions.get(channel, ())}

    # --- snapshots

    def _snapshot(self, connection: Connection, channel: str, name: str) -> None:
        if channel == "heartbeats":
            return
        product, now_ms = self._tape.products[name], self._clock.now_ms()
        match channel:
            case "candles":
                self._candle_snapshot(connection, product)
            case "market_trades":
                # Up to what the loop has seen, so that its next batch goes on exactly there.
                trades = self._tape.last_trades(name, self._seen_ms + 1, SNAPSHOT_TRADES)
                self._send(
                    connection, channel, name, frames.events("snapshot", "trades", frames.trade_rows(product, trades))
                )
            case "ticker" | "ticker_batch":
                rows = [self._ticker_row(product, now_ms, batch=channel == "ticker_batch")]
                self._send(connection, channel, name, frames.events("snapshot", "tickers", rows))
            case "status":
                self._send(connection, channel, name, frames.events("snapshot", "products", [self._status(product)]))
            case "level2":
                levels = self._levels(product, now_ms)
                self._books[name] = levels
                self._send_book(connection, product, "snapshot", levels, now_ms)

    def _candle_snapshot(self, connection: Connection, product: Product) -> None:
        rows = self._snapshot_rows(product)
        if rows:
            self._send(connection, "candles", product.name, frames.candles("snapshot", product, rows))

    def candle_snapshots(self) -> None:
        """Send every candle snapshot again."""
        for connection in self.connections.values():
            for product in connection.subscriptions.get("candles", ()):
                self._candle_snapshot(connection, self._tape.products[product])

    def _snapshot_rows(self, product: Product) -> list[CandleValues]:
        """The newest candles, with the holes that the exchange's snapshots have."""
        fault, options, now_ms = self._faults.find(Snapshot), self._options, self._clock.now_ms()
        rate = fault.hole_rate if fault and fault.hole_rate is not None else options.snapshot_hole_rate
        with_open = fault.includes_open if fault and fault.includes_open is not None else options.snapshot_includes_open
        buckets = min(_SPARSE_BUCKETS, int(SNAPSHOT_CANDLES / max(0.01, 1 - rate)) + 20)
        rows = _with_holes(self._newest_candles(product.name, buckets, now_ms), rate)
        if len(rows) < SNAPSHOT_CANDLES and buckets < _SPARSE_BUCKETS:
            rows = _with_holes(self._newest_candles(product.name, _SPARSE_BUCKETS, now_ms), rate)
        if not with_open:
            rows = rows[rows["start_s"] < now_ms // STEP_MS * STEP_S]
        order = (fault and fault.order) or options.snapshot_order
        return _ordered(rows[-SNAPSHOT_CANDLES:], order)

    def _newest_candles(self, product: str, buckets: int, now_ms: int) -> Candles:
        end_s = now_ms // STEP_MS * STEP_S + STEP_S
        return self._tape.candles(product, Timeframe.M5, end_s - buckets * STEP_S, end_s, now_ms)

    # --- the loop

    async def run(self) -> None:
        """Feed the connections until cancelled."""
        while True:
            started = time.monotonic()
            self.tick()
            self._work_ahead()
            wait = self._options.update_seconds(self._clock.speed) - (time.monotonic() - started)
            wait = min(wait, self._beat_at - time.monotonic(), self._until_boundary())
            await asyncio.sleep(max(0.001, wait))

    def _until_boundary(self) -> float:
        """Real seconds to just after the end of the open bucket."""
        return self._clock.real_seconds_until(self._seen_ms // STEP_MS * STEP_MS + STEP_MS) + 0.001

    def tick(self) -> None:
        """Send everything that is due now."""
        now_ms, since_ms = self._clock.now_ms(), self._seen_ms
        if not 0 <= now_ms - since_ms <= max(MAX_JUMP_MS, 5_000 * self._clock.speed):
            log.info("the clock was set: %s", frames.zulu(now_ms * 1_000_000))
            self.clock_changed()
            return
        self._seen_ms = now_ms
        if self.connections:
            self._send_candles(now_ms)
            self._send_trades(since_ms, now_ms)
            self._send_tickers(since_ms, now_ms)
        self._beat()
        self._drop_idle()

    def _send_candles(self, now_ms: int) -> None:
        final = self._options.final_update and not self._faults.find(NoFinalUpdate)
        timestamp = self._timestamp()
        for name, values in self._ticker.due(now_ms, final_update=final):
            self._broadcast("candles", name, frames.candles("update", self._tape.products[name], [values]), timestamp)

    def _send_trades(self, since_ms: int, now_ms: int) -> None:
        for name in self._wanted("market_trades"):
            trades = self._tape.trades(name, since_ms + 1, now_ms + 1)
            if len(trades):
                rows = frames.trade_rows(self._tape.products[name], trades)
                self._broadcast("market_trades", name, frames.events("update", "trades", rows))

    def _send_tickers(self, since_ms: int, now_ms: int) -> None:
        changed = [
            name
            for name in self._wanted("ticker") | self._wanted("level2")
            if len(self._tape.trades(name, since_ms + 1, now_ms + 1))
        ]
        for name in changed:
            product = self._tape.products[name]
            row = self._ticker_row(product, now_ms)
            self._broadcast("ticker", name, frames.events("update", "tickers", [row]))
            self._update_book(product, now_ms)
        if time.monotonic() >= self._batch_at:
            self._batch_at = time.monotonic() + TICKER_BATCH_S
            for name in self._wanted("ticker_batch"):
                row = self._ticker_row(self._tape.products[name], now_ms, batch=True)
                self._broadcast("ticker_batch", name, frames.events("update", "tickers", [row]))

    def _beat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = max(self._beat_at + self._options.heartbeat_ms / 1000, time.monotonic())
        text = self._options.heartbeat_text or self._faults.find(HeartbeatText) is not None
        period_ns = int(self._options.heartbeat_ms * 1_000_000)
        for connection in list(self.connections.values()):
            if connection.subscriptions.get("heartbeats"):
                # Each connection is served by another "process", which has been up for another time.
                uptime_ns = time.monotonic_ns() - self._started_ns + _uptime_s(connection.number) * 1_000_000_000
                events = frames.heartbeat(self._clock.now_ns(), uptime_ns // period_ns, uptime_ns, text=text)
                connection.send("heartbeats", self._timestamp(), events)

    def _drop_idle(self) -> None:
        limit = time.monotonic() - self._options.idle_s
        for connection in list(self.connections.values()):
            if connection.last_frame_s < limit and not connection.half_open:
                self._ledger.socket(connection.number, "closing", "idle")
                connection.abort()

    def _work_ahead(self) -> None:
        until = time.monotonic() + _WORK_AHEAD_S
        for _ in self._ticker.prepare(self._seen_ms):
            if time.monotonic() > until:
                break

    # --- acts

    def announce(self, name: str, start_s: int) -> None:
        """Send the candle of `start_s` as it is now."""
        now_ms, product = self._clock.now_ms(), self._tape.products[name]
        rows = self._tape.candles(name, Timeframe.M5, start_s, start_s + STEP_S, now_ms).tolist()
        if rows:
            self._broadcast("candles", name, frames.candles("update", product, rows))

    def send_stale(self, name: str, buckets_back: int) -> None:
        """Send the first state of a bucket again."""
        start_ms = (self._clock.now_ms() // STEP_MS - buckets_back) * STEP_MS
        if states := track(self._tape, name, start_ms).states:
            self._broadcast("candles", name, frames.candles("update", self._tape.products[name], states[:1]))

    # --- parts of frames

    def _timestamp(self) -> str:
        return frames.zulu(self._clock.now_ns())

    def _broadcast(self, channel: str, name: str, events: str, timestamp: str = "") -> None:
        for connection in self.connections.values():
            if connection.wants(channel, name):
                self._send(connection, channel, name, events, timestamp)

    def _send(self, connection: Connection, channel: str, name: str, events: str, timestamp: str = "") -> None:
        wire = "l2_data" if channel == "level2" else channel
        connection.send(wire, timestamp or self._timestamp(), events, subscription=channel, product=name)

    def _day(self, name: str, now_ms: int) -> tuple[Day, int]:
        """The product's day and its last price."""
        day, last = self._stats.of(name, now_ms), self._tape.last_trades(name, now_ms + 1, 1)
        return day, int(last.price[-1]) if len(last) else day.last

    def _ticker_row(self, product: Product, now_ms: int, *, batch: bool = False) -> dict[str, str]:
        day, last = self._day(product.name, now_ms)
        row = {
            "type": "ticker",
            "product_id": product.name,
            "price": product.price(last),
            "volume_24_h": product.size(day.volume),
            "low_24_h": product.price(min(day.low, last)),
            "high_24_h": product.price(max(day.high, last)),
            "low_52_w": product.price(min(day.low, last)),
            "high_52_w": product.price(max(day.high, last)),
            "price_percent_chg_24_h": day.change_percent,
        }
        if not batch:
            bids, asks = book(last, 1, 10**product.size_decimals)
            for side, levels in (("bid", bids), ("ask", asks)):
                row[f"best_{side}"] = product.price(levels[0][0]) if levels else ""
                row[f"best_{side}_quantity"] = product.size(levels[0][1]) if levels else ""
        return row

    def _status(self, product: Product) -> dict[str, str]:
        online = self._tape.is_online(product.name, self._clock.now_ms())
        return {
            "product_type": "SPOT",
            "id": product.name,
            "base_currency": product.base,
            "quote_currency": product.quote,
            "base_increment": product.size(1),
            "quote_increment": product.price(1),
            "display_name": f"{product.base}/{product.quote}",
            "status": "online" if online else "delisted",
            "status_message": "",
            "min_market_funds": "1",
        }

    def _levels(self, product: Product, now_ms: int) -> dict[tuple[str, int], int]:
        _, last = self._day(product.name, now_ms)
        bids, asks = book(last, BOOK_DEPTH, 10**product.size_decimals)
        return {("bid", p): s for p, s in bids} | {("offer", p): s for p, s in asks}

    def _update_book(self, product: Product, now_ms: int) -> None:
        before, levels = self._books.get(product.name), self._levels(product, now_ms)
        if before is None or before == levels:
            return
        self._books[product.name] = levels
        changes = {key: 0 for key in before if key not in levels}
        changes |= {key: size for key, size in levels.items() if before.get(key) != size}
        for connection in self.connections.values():
            if connection.wants("level2", product.name):
                self._send_book(connection, product, "update", changes, now_ms)

    def _send_book(
        self, connection: Connection, product: Product, kind: str, levels: dict[tuple[str, int], int], now_ms: int
    ) -> None:
        at = frames.trade_time(now_ms)
        rows = [
            {"side": side, "event_time": at, "price_level": product.price(p), "new_quantity": product.size(size)}
            for (side, p), size in levels.items()
        ]
        events = frames.events(kind, "updates", rows, product_id=product.name)
        self._send(connection, "level2", product.name, events)


def _with_holes(candles: Candles, rate: float) -> Candles:
    """`candles` without a share of their buckets: the same ones for every product, never the newest."""
    if not len(candles):
        return candles
    kept = noise.uniform(1, candles["start_s"] // STEP_S) >= rate
    kept[-1] = True
    return candles[kept]


def _ordered(candles: Candles, order: str) -> list[CandleValues]:
    if order == "shuffled":
        candles = candles[np.argsort(noise.uniform(2, candles["start_s"]))]
    rows: list[CandleValues] = candles.tolist()
    return rows[::-1] if order == "newest" else rows


def _uptime_s(connection: int) -> int:
    return 1_000 + int(noise.uniform(3, np.array([connection]))[0] * 100_000)

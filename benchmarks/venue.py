"""The local exchange with a stepped clock: time moves only when a step is called."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from simulator import frames
from simulator.clock import ExchangeClock
from simulator.market import Market
from simulator.options import Options
from simulator.server import Server
from simulator.trade_log import TradeLog

T = TypeVar("T")

BEAT_S = 2.0
"""Clients treat heartbeats as missing after five seconds."""

OPTIONS = Options(
    subscribe_deadline_s=60,  # opening 28 connections at once takes time
    messages_per_second=10_000,
    connections_per_second=10_000,
    requests_per_second=10_000,
    deflate=False,
)


class SteppedVenue:
    """A real server on loopback, on its own thread. `now_ms`: exchange time at the start."""

    def __init__(self, market: Market, now_ms: int) -> None:
        self.clock = ExchangeClock(now_ms, 0)
        self._market = market
        self._beats = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="venue", daemon=True)
        self._thread.start()
        self._server = self._do(lambda: Server(TradeLog(self._market), self.clock, OPTIONS))
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> int:
        """Start the server without its feed loop: only steps tick, or the loop's work would be measured too."""
        port = await self._server.start()
        assert self._server.feeding is not None
        self._server.feeding.cancel()
        self._server.feeding = asyncio.create_task(self._beat_for_ever())
        return port

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._beat()

    @property
    def urls(self) -> dict[str, str]:
        return {
            "CANDLEWICK_COINBASE__WS_URL": f"ws://127.0.0.1:{self.port}",
            "CANDLEWICK_COINBASE__REST_URL": f"http://127.0.0.1:{self.port}",
        }

    def subscribed(self) -> int:
        """The number of subscribed products."""
        return sum(len(c.subscriptions.get("candles", ())) for c in list(self._server.feed.connections.values()))

    def jump(self, time_ms: int) -> None:
        """Set the clock to `time_ms`; sending continues from there."""

        def step() -> None:
            self.clock.set(time_ms)
            self._server.feed.clock_changed()

        self._do(step)

    def trade_until(self, time_ms: int) -> None:
        """Advance to `time_ms`, and send every candle that changed by then."""

        def step() -> None:
            self.clock.set(time_ms)
            self._server.feed.tick()
            self._beat()

        self._do(step)

    def beat_at(self, time_ms: int) -> float:
        """Advance to `time_ms`, and send only heartbeats. Returns when (UNIX s) they were sent."""

        def step() -> float:
            self.clock.set(time_ms)
            now_s = time.time()
            self._beat()
            return now_s

        return self._do(step)

    def _beat(self) -> None:
        self._beats += 1
        time_ns = self.clock.now_ns()
        for connection in self._server.feed.connections.values():
            events = frames.heartbeat(time_ns, self._beats, self._beats * 1_000_000_000, text=False)
            connection.send("heartbeats", frames.rfc3339_nano(time_ns), events)

    def _do(self, work: Callable[[], T]) -> T:
        """Run `work` on the server's thread."""

        async def done() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(60)

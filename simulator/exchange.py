"""The local exchange inside another process: a server on its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from app.market.timeframes import Timeframe
from simulator.clock import ExchangeClock
from simulator.ledger import Ledger
from simulator.market import Market
from simulator.options import Options
from simulator.server import Server
from simulator.trade_log import TradeLog

T = TypeVar("T")

_TIMEOUT_S = 10.0


class LocalExchange:
    """A running exchange on an ephemeral loopback port; a context manager, usable from any thread.

    `start_ms`: exchange time at the start (UNIX milliseconds). `options`: the fields of `Options`.
    """

    def __init__(self, market: Market, *, speed: float = 1.0, start_ms: int, port: int = 0, **options: Any) -> None:
        self.trade_log = TradeLog(market)
        self.clock = ExchangeClock(start_ms, speed)
        self._server = Server(self.trade_log, self.clock, Options(**options))
        self._wanted_port = port
        self.port = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-exchange", daemon=True)
        self._thread.start()
        try:
            self.port = self._call(self._server.start(port=self._wanted_port))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self._server.stop())
        finally:
            self._end()

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def rest_url(self) -> str:
        """The origin; the API is below `/api/v3/brokerage`."""
        return f"http://127.0.0.1:{self.port}"

    def truth(self, product: str, timeframe: Timeframe, start_s: int, end_s: int | None = None) -> list[dict[str, str]]:
        """Candles with ``start_s <= start < end_s`` that are over by now, oldest first, as exact decimal strings."""
        now_ms = self.clock.now_ms()
        return self.trade_log.truth(
            self.trade_log.known(product), timeframe, start_s, now_ms // 1000 if end_s is None else end_s, now_ms
        )

    def ledger(self) -> Ledger:
        """All requests and connection events so far."""
        return self._server.ledger

    def inject(self, fault: str, **parameters: Any) -> int | None:
        """Inject a fault; returns its number if it remains active. Raises `InvalidInput`."""
        return self._call(self._server.injector.inject({"fault": fault, **parameters}))

    def clear(self, fault: str | None = None) -> int:
        """Remove all faults, or all of one name; returns how many."""
        return self._server.faults.remove(fault)

    @property
    def connections(self) -> int:
        """WebSocket connections that are open now."""
        return len(self._server.feed.connections)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()

"""Fault injection: an act happens at once, every other fault becomes active."""

from __future__ import annotations

import asyncio
import logging

from simulator import stream_faults as kinds
from simulator.clock import ExchangeClock
from simulator.fault import Act, Fault
from simulator.faults import Faults, parse
from simulator.feed import Feed
from simulator.frames import rfc3339_nano
from simulator.garbage import Raw, garbage
from simulator.rest import Rest
from simulator.trade_log import TradeLog

log = logging.getLogger(__name__)


class FaultInjector:
    """Injects faults. Belongs to the server's event loop."""

    def __init__(self, feed: Feed, rest: Rest, trade_log: TradeLog, clock: ExchangeClock, faults: Faults) -> None:
        self._feed = feed
        self._rest = rest
        self._trade_log = trade_log
        self._clock = clock
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()

    async def inject(self, body: object) -> int | None:
        """Inject the fault that `body` describes; returns its number if it remains active.

        Raises `InvalidInput`.
        """
        fault = parse(body)
        log.info("fault: %s", fault.model_dump_json(exclude_none=True))
        try:
            if isinstance(fault, Act):
                await self._act(fault)
                return None
            if isinstance(fault, kinds.HalfOpen):
                self._go_half_open(fault)
            return self._faults.add(fault).number
        finally:
            self._rest.forget()

    async def _act(self, fault: Fault) -> None:
        now_ms = self._clock.now_ms()
        match fault:
            case kinds.Close():
                await asyncio.gather(
                    *(c.close(fault.code, fault.reason) for c in list(self._feed.connections.values()))
                )
            case kinds.Reset():
                for connection in list(self._feed.connections.values()):
                    connection.reset()
            case kinds.CutFrame():
                for connection in list(self._feed.connections.values()):
                    connection.cut_frame()
            case kinds.RestartFromZero():
                self._feed.count_from_zero()
                await asyncio.gather(*(c.close(1001, "restart") for c in list(self._feed.connections.values())))
            case kinds.Garbage():
                self._send_garbage(fault, now_ms)
            case kinds.SnapshotStorm():
                for _ in range(fault.count):
                    self._feed.candle_snapshots()
            case kinds.StaleUpdate():
                self._feed.send_stale(self._trade_log.known(fault.product), fault.buckets_back)
            case kinds.Revise():
                self._trade_log.print_late(fault.product, fault.start, now_ms, fault.price)
                self._feed.trades_changed()
                if fault.announce:
                    self._feed.announce(fault.product, fault.start)
            case kinds.ListProduct():
                self._trade_log.list_product(fault.product, now_ms)
                self._feed.trades_changed()
            case kinds.DelistProduct():
                self._trade_log.delist_product(fault.product, now_ms, gone=fault.gone)
                self._feed.trades_changed()

    def _send_garbage(self, fault: kinds.Garbage, now_ms: int) -> None:
        for connection in list(self._feed.connections.values()):
            product = next(iter(connection.subscriptions.get("candles", ())), "BTC-USD")
            frame = garbage(fault.kind, product, now_ms)
            for _ in range(fault.count):
                if isinstance(frame, Raw):
                    connection.send_raw(frame.data, binary=frame.binary)
                else:
                    connection.send(frame.channel, rfc3339_nano(now_ms * 1_000_000), frame.events)

    def _go_half_open(self, fault: kinds.HalfOpen) -> None:
        connections = list(self._feed.connections.values())
        for connection in connections:
            connection.go_half_open()

        async def end() -> None:
            # Until the fault is over, however it ends.
            while self._faults.find(kinds.HalfOpen, lambda f: f is fault) is not None:
                await asyncio.sleep(0.05)
            for connection in connections:
                connection.reset()

        task = asyncio.create_task(end())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

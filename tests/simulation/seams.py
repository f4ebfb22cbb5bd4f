"""The only part of the simulation that depends on the project's structure. It changes with the project."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import redis
from kombu.exceptions import OperationalError

from app.backfill.service import Backfill
from app.compute.computer import Computer
from app.context import Context
from app.errors import InvalidInput
from app.exchange.coinbase.rest import CoinbaseRest
from app.ingest.process import Ingest
from app.market.records import RECORD
from app.settings import Settings
from app.storage.products import ProductCache
from app.tasks import Tasks
from tests.simulation.broker import Task
from tests.simulation.current import world
from tests.simulation.process import Process
from workers.arguments import ScanWork, UpdateWork, Work, parsed

if TYPE_CHECKING:
    pass

SCAN, RECONCILE, DRAIN = "workers.backfill.scan", "workers.backfill.reconcile", "workers.backfill.drain"
UPDATE = "workers.indicators.update"
QUEUES = {"backfill": ("backfill", "reconcile"), "indicators": ("indicators",)}
BEATS = {SCAN: "backfill", RECONCILE: "reconcile", DRAIN: "backfill"}
"""Tasks of beat, and their queues."""
READY = "cw:2:backfill:coinbase:ready"
PENDING = tuple(f"cw:2:backfill:coinbase:{part}" for part in ("settling", "delayed", "leased"))
"""Keys of waiting requests, by due time (ms): reading them saves most of beat's ticks."""


# --- one process


class SimulatedTasks(Tasks):
    """Sends to the simulated broker. Each send is a round trip to Redis, as in the real one."""

    def __init__(self, process: Process, exchange: str) -> None:
        self._process = process
        self._exchange = exchange

    def _send(self, name: str, *, queue: str, enough: int | None = None, **work: Any) -> None:
        try:
            self._process.before()
        except redis.ConnectionError as error:
            raise OperationalError(str(error)) from None
        if queue != "alerts" and (enough is None or world().broker.waiting(queue) < enough):
            world().broker.send(queue, name, {"exchange": self._exchange, **work})


class SimulatedContext(Context):
    """One process' settings and stores, on the simulated connection and exchange."""

    def __init__(self, process: Process, settings: Settings) -> None:
        super().__init__(settings, process.client)
        self._process = process
        self.products = ProductCache(self.redis, self.exchange, process=process.identity)

    @cached_property
    def tasks(self) -> Tasks:
        return SimulatedTasks(self._process, self.exchange)

    @cached_property
    def _rest(self) -> CoinbaseRest:
        return CoinbaseRest("http://venue", timeout_s=10.0, session=world().venue)  # type: ignore[arg-type]

    @property
    def rest(self) -> CoinbaseRest:
        return self._rest


def settings_of(products: tuple[str, ...], timeframes: tuple[str, ...], capacity: int, per_second: float) -> Settings:
    return Settings(
        redis_url="redis://simulated",
        coinbase={"products": products, "rest_requests_per_second": per_second},
        timeframes=timeframes,
        series_capacity=capacity,
        events_kept=100,
    )


def ingest(process: Process, settings: Settings) -> Callable[[], None]:
    """The whole ingest process, except its sockets."""
    context = SimulatedContext(process, settings)
    return lambda: Ingest(context, settings, context.budgeted_rest, context.tasks).run()


def worker(process: Process, settings: Settings) -> Callable[[Task], None]:
    """Runs a task like a worker process, as the thin functions in `workers` do."""
    context = SimulatedContext(process, settings)
    backfill = Backfill(context, context.settings, context.budgeted_rest, context.tasks)
    computer = Computer(context.candles, context.indicators, context.exchange, settings.timeframes)

    def update(work: UpdateWork) -> None:
        clock, changed = context.clock.read(), work.as_ranges()
        now_s = max([clock.exchange_s if clock else 0, *(t.last_s + t.timeframe.seconds for t in changed)])
        computer.update(changed, now_s)

    def run(task: Task) -> None:
        match task.name:
            case "workers.indicators.update":
                update(parsed(UpdateWork, task.work))
            case "workers.backfill.scan":
                backfill.scan(now=parsed(ScanWork, task.work).now)
            case "workers.backfill.reconcile":
                backfill.reconcile(now=parsed(ScanWork, task.work).now)
            case "workers.backfill.drain":
                parsed(Work, task.work)
                backfill.drain()
            case _:
                raise InvalidInput(task.name)

    return run


# --- stored data


def ring(product: str, timeframe: str) -> Any:
    """The stored slots of a series."""
    raw = world().wire.call("GET", f"cw:2:candles:{{coinbase:{product}}}:{timeframe}") or b""
    return np.frombuffer(raw, RECORD, count=max(0, (len(raw) - 16) // RECORD.itemsize))


def indicator(product: str, timeframe: str) -> dict[str, Any] | None:
    """The newest stored value of a series."""
    raw = world().wire.call("HGET", f"cw:2:indicator:{{coinbase:{product}}}:{timeframe}:macdv", "data")
    return orjson.loads(raw) if raw else None

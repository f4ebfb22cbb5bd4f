"""Stand-ins for time, chance, threads and sockets in the project's modules, and the judge of every write."""

from __future__ import annotations

import logging
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

import app.exchange.coinbase.rest
import app.exchange.feed
import app.ingest.following
import app.ingest.outbox
import app.ingest.process
import app.storage.scripts
from app.market.records import EMPTY, Records
from app.storage.candles import CandleCache
from app.storage.model import Outcome, Written
from tests.simulation.current import process, world
from tests.simulation.feed import Link
from tests.simulation.wire import with_virtual_time


def _judging(write: Callable[..., Any]) -> Callable[..., Any]:
    """Judge every write of every ring: `World.wrote` receives its new records."""

    def judged(self: CandleCache, writes: Any, **options: Any) -> Any:
        written = write(self, writes, **options)
        for one in written:
            stored = np.array(one.outcomes) >= Outcome.INSERTED
            if stored.any():
                gone = [int(one.records["start_s"][i]) for i, before in one.before.items() if _empties(one, i, before)]
                world().wrote(one.series.product, one.series.timeframe.seconds, one.records[stored], gone)
        return written

    return judged


def _empties(written: Written, i: int, before: Records) -> bool:
    """Whether an empty candle replaced one with trades."""
    is_stored = written.outcomes[i] >= Outcome.INSERTED
    return bool(is_stored and written.records["flags"][i] & EMPTY and not before["flags"][0] & EMPTY)


class _Time:
    """Stands in for the module `time`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return world().scheduler.now_s

    time = perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        world().sleep(seconds)


class _Chance:
    """Stands in for the module `random`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(world().chance, name)


class _Stop:
    """Stands in for `app.util.stop.Stop`."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        world().sleep(timeout_s)
        return self._is_set


class _Condition:
    """Stands in for the outbox's condition: its writer waits in virtual time, longer if nothing is urgent."""

    def __init__(self) -> None:
        self._process = process()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def notify(self) -> None:
        self._process.actors[0].wake(0.002)

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:  # noqa: ARG002
        actor = world().scheduler.current
        if not predicate() and actor is not None:
            actor.wait(60.0)
        return predicate()


class _Thread:
    """Stands in for `threading.Thread`: another actor of the process."""

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...] = (), name: str = "", **_: Any) -> None:
        self._run = lambda: target(*args)
        self._name = name

    def start(self) -> None:
        process().spawn(self._name, self._run)


class _Quiet:
    """Stands in for classes that only publish the state of a process."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def store(self, *_: Any, **__: Any) -> None:
        pass

    def beat(self) -> None:
        pass


_COLUMNS = ("start", "low", "high", "open", "close", "volume")
"""Fields of a row of REST, in the order of the simulated exchange."""


def _connection(session: Any, _: Any, on_event: Any, on_frame: Any = None) -> Link:  # noqa: ARG001
    return Link(world(), process(), session, on_event)


@contextmanager
def patched() -> Iterator[None]:
    """The project's modules use virtual time, random choices by the seed, and simulated threads and sockets."""
    chance = _Chance()
    stand_ins = {
        "time": (time, _Time()),
        "random": (random, chance),
        "uuid": (uuid, SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{chance.getrandbits(128):032x}"))),
    }
    source, read = app.storage.scripts.source, app.exchange.coinbase.rest.read_candle
    remembered = lru_cache(maxsize=200_000)(
        lambda row, *more, **named: read(dict(zip(_COLUMNS, row, strict=True)), *more, **named)
    )
    with ExitStack() as stack:
        put = stack.enter_context
        for name, module in list(sys.modules.items()):
            if name.startswith("app."):
                for attribute, (real, stand_in) in stand_ins.items():
                    if getattr(module, attribute, None) is real:
                        put(patch.object(module, attribute, stand_in))
        put(patch.object(app.storage.scripts, "source", lambda name: with_virtual_time(source(name))))
        put(patch.object(app.ingest.outbox, "threading", SimpleNamespace(Condition=_Condition)))
        put(patch.object(app.ingest.following, "threading", SimpleNamespace(Thread=_Thread)))
        put(patch.object(app.ingest.process, "Stop", _Stop))
        put(patch.object(app.ingest.process, "CHECK_EVERY_S", 10.0))  # it costs a round trip
        put(patch.object(app.ingest.process, "Heartbeat", _Quiet))
        put(patch.object(app.ingest.process, "HealthCache", _Quiet))
        put(patch.object(app.exchange.feed, "StreamConnection", _connection))
        put(patch.object(CandleCache, "write", _judging(CandleCache.write)))
        put(  # most rows were parsed before
            patch.object(
                app.exchange.coinbase.rest,
                "read_candle",
                lambda row, *more, **named: remembered(tuple(row.values()), *more, **named),
            )
        )
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)

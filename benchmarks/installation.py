"""An installation as in production, on the stepped exchange: Redis, ingest and indicator workers, as processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import psutil

from app.compute.computer import Computer
from app.context import Context
from app.launch import procfile
from app.market.records import RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage import keys
from app.storage.changed_ranges import ChangedRange
from app.storage.pipelining import raise_first, send_pipelined
from app.storage.products import FollowedProduct
from app.storage.rings import TRAILER
from app.util.batches import batched
from benchmarks.market import BusyMarket, past
from benchmarks.venue import SteppedVenue
from tests.redis_server import RedisServer
from tests.support import ROOT, Process, eventually, free_port

DAY_S = 86_400
START_S = 1_614_816_000
"""Start of a day, UTC."""

BARS = 600
"""Candles of each series: more than a window."""

PROCESSES = procfile.read(ROOT / "Procfile")


class Arrival(NamedTuple):
    """An event as a reader of the stream receives it: when (UNIX s), its kind and series, and its JSON."""

    at_s: float
    kind: bytes
    series: bytes
    data: bytes


Entry: TypeAlias = tuple[bytes, list[bytes]]
"""An entry of the event stream: id; names and values of its fields in turn, in the order of `Arrival`."""


class Installation:
    """An installation with `products` of the busy market, at exchange time `now_s`."""

    def __init__(
        self, folder: Path, products: int, now_s: int, venue: SteppedVenue, redis: RedisServer, **settings: str
    ) -> None:
        self.venue = venue
        self.redis = redis
        self.market = BusyMarket(products)
        self.products = list(self.market.products)
        self.env = {
            **os.environ,
            "REDIS_URL": redis.url,
            "CANDLEWICK_COINBASE__PRODUCTS": "all:USD",
            **venue.urls,
            **settings,
        }
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.context = Context(Settings.from_environment(self.env))
        self.timeframes = self.context.settings.timeframes
        self.now_s = now_s
        self.processes: dict[str, Process] = {}
        self._folder = folder

    def series(self, timeframe: Timeframe) -> list[Series]:
        return [Series("coinbase", product, timeframe) for product in self.products]

    def start(self, *names: str) -> None:
        """Start processes with their commands of the Procfile."""
        for name in names:
            command = ["/bin/sh", "-c", f"exec {PROCESSES[name]}"]
            self.processes[name] = Process(command, self._folder / f"{name}.log", env=self.env)

    def end(self, *names: str) -> None:
        for name in names or list(self.processes):
            self.processes.pop(name).end()

    def of(self, name: str) -> list[psutil.Process]:
        """The process `name` with its children."""
        process = psutil.Process(self.processes[name].pid)
        return [process, *process.children(recursive=True)]

    def busy_ms(self) -> dict[str, float]:
        """Processor time (ms) so far of each process, with its children, and of Redis."""
        pids = {name: [p.pid for p in self.of(name)] for name in self.processes} | {"redis": [self.redis.pid]}
        return {name: sum(map(_busy_ms, some)) for name, some in pids.items()}

    def fill(self, now_s: int) -> None:
        """Write candles and indicators of every series up to `now_s`, and set the exchange's clock to it."""
        self.now_s = now_s
        self.venue.jump(now_s * 1000)
        self.context.products.follow([FollowedProduct(p, p) for p in self.products])
        self.context.clock.set(now_s * 1000)
        for timeframe in self.timeframes:
            self._fill(timeframe)

    def _fill(self, timeframe: Timeframe) -> None:
        """Write whole rings in their stored form: candle by candle this would take minutes."""
        last_s, several = timeframe.last_over(self.now_s), self.series(timeframe)
        for some in batched(enumerate(several), 100):
            with self.context.redis.pipeline(transaction=False) as pipe:
                for number, series in some:
                    close = self.market.price(series.product, (last_s + timeframe.seconds) * 1000)
                    records = past(timeframe, last_s, BARS, close, number)
                    pipe.set(keys.candles(series), _ring(records, timeframe, self.context.settings.series_capacity))
                pipe.execute()
        # The first evaluation treats all candles as history; otherwise every bar would be searched for alerts.
        self.context.redis.delete(*map(keys.indicator, several))
        self._computer((timeframe,)).update(
            [ChangedRange(p, timeframe, last_s, last_s) for p in self.products], self.now_s
        )

    @cached_property
    def computer(self) -> Computer:
        """The computer of an indicator worker."""
        return self._computer(self.timeframes)

    def _computer(self, timeframes: Sequence[Timeframe]) -> Computer:
        c = self.context
        return Computer(c.candles, c.indicators, c.exchange, timeframes, c.evaluator())

    def connect(self) -> None:
        """Start the ingest, and wait until it follows every product and workers compute."""
        self.start("ingest")
        eventually(lambda: self._beating() and self.venue.subscribed() == len(self.products), interval=0.2)
        self.trade_until(self.now_s + 1)

    def _beating(self) -> bool:
        self.venue.beat_at(self.now_s * 1000)
        return True

    def trade_until(self, now_s: int) -> None:
        """Let every product trade until `now_s`, and wait until the ingest has received it."""
        self.now_s = now_s
        self.venue.trade_until(now_s * 1000)
        eventually(lambda: (c := self.context.clock.read()) and c.exchange_ms >= now_s * 1000)

    def close(self, now_s: int, series: int) -> Burst:
        """Let every open bucket close at `now_s`, and wait until `series` indicators are published."""
        listener = Listener(self.context)
        self.now_s = now_s
        began_s = self.venue.beat_at(now_s * 1000)
        return Burst(began_s, listener.wait(b"indicator", series))

    def rest(self) -> None:
        """Wait until no task is waiting or running."""
        prefix = "cw:2:celery:"
        client = self.context.redis
        eventually(lambda: not client.llen(f"{prefix}indicators") and not client.hlen(f"{prefix}unacked"))


def _ring(records: Records, timeframe: Timeframe, capacity: int) -> bytes:
    """The ring that `app.storage.candles` makes of `records`."""
    slots = np.zeros(capacity, RECORD)
    slots[records["start_s"] // timeframe.seconds % capacity] = records
    return slots.tobytes() + TRAILER.pack(time.time_ns() // 1_000_000, int(records["start_s"][0]), 0)


def _busy_ms(pid: int) -> float:
    """Processor time of all threads of a process, to the nanosecond: the usual counters tick every 10 ms."""
    return sum(int(f.read_text().split()[0]) for f in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


class Burst(NamedTuple):
    """Closes that came at once: when the frames that closed them were sent (UNIX s), and the resulting events."""

    began_s: float
    arrivals: list[Arrival]

    def delays_ms(self, kind: bytes = b"indicator") -> list[float]:
        """Delays from the frames to each event of `kind`."""
        return [1000 * (a.at_s - self.began_s) for a in self.arrivals if a.kind == kind]


class Listener:
    """Reads the event stream from now on. Parses events only when all have arrived, to read as fast as possible."""

    def __init__(self, context: Context) -> None:
        self._client = context.redis
        newest = self._client.xrevrange(keys.EVENTS, count=1)
        self._after = newest[0][0] if newest else b"0-0"

    def wait(self, kind: bytes, count: int, timeout_s: float = 30.0) -> list[Arrival]:
        """All events up to the `count`-th of `kind`."""
        read: list[tuple[float, Sequence[Entry]]] = []
        found, until = 0, time.monotonic() + timeout_s
        while found < count:
            if time.monotonic() > until:
                raise AssertionError(f"{found} of {count} events of kind {kind!r} within {timeout_s:g} s")
            if entries := self._read():
                read.append((time.time(), entries))
                found += sum(fields[1] == kind for _, fields in entries)
        return [Arrival(at_s, *fields[1::2]) for at_s, entries in read for _, fields in entries]

    def _read(self) -> Sequence[Entry]:
        """New entries, within a second; in Redis' raw form, because naming every field takes longer than reading."""
        command = ("XREAD", "COUNT", 1000, "BLOCK", 1000, "STREAMS", keys.EVENTS, self._after)
        answers = send_pipelined(self._client, [command])
        raise_first(answers)
        if not answers[0]:
            return []
        (entries,) = answers[0].values()
        self._after = entries[-1][0]
        return entries


@contextmanager
def installation(folder: Path, products: int, now_s: int = START_S, **settings: str) -> Iterator[Installation]:
    """An installation with only Redis and the exchange running. `settings`: as in the environment."""
    (folder / "redis").mkdir(parents=True)
    market = BusyMarket(products)
    with RedisServer(folder / "redis", free_port()) as redis, SteppedVenue(market, now_s * 1000) as venue:
        everything = Installation(folder, products, now_s, venue, redis, **settings)
        os.environ["REDIS_URL"] = redis.url
        try:
            yield everything
        finally:
            everything.end()
            everything.context.redis.close()

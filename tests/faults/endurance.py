"""Hours of an ordinary market without growth: of memory of any process, Redis, open files or threads.

    python -m tests.faults.endurance --hours 8 --products 100

Runs the whole system as real processes against a local exchange at 60 times real time, with clients that listen, read
and scrape. Bounded stores (alerts, the event stream, cached responses) are filled at the beginning. Prints one table;
exits with 1 if something grew, or if cache and indicators are not the truth at the end.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import requests
from rich import box
from rich.console import Console
from rich.table import Table

from app.context import Context
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys
from app.storage.alert_changes import Alert, AlertChange, AlertCursor
from app.storage.indicators import IndicatorValue
from app.util.batches import batched
from client import ApiError, Client
from tests.alerting import RULED, fact
from tests.faults.soak import HOUR_S, until_true
from tests.faults.world import PROCESSES, SPEED, World, world
from tests.support import PATIENCE_S, eventually

SAMPLE_S = 300
"""Exchange seconds between two samples of every process."""

FLAT = 0.05
"""Largest relative change of the median from the second to the last hour. The first hour is for warming up."""

LATE = 2
"""Files and threads that may come late: a pool opens its last connections when all its threads are first busy. Eight
hours still detect a leak of one per hour."""

ALERTS_KEPT = 10_000
"""The most that are stored."""

START, WARM_S = "2021-03-03T19:00:00Z", 1_614_814_200
"""The first hour begins half an hour before midnight, when most is computed at once."""

PAGES = ("/v1/status", "/v1/overview", "/v1/candles/BTC-USD?timeframe=1h", "/v1/indicators/BTC-USD", "/metrics")
OLD = Series("coinbase", "OLD-USD", Timeframe.M5)


class Sample(NamedTuple):
    """The use of one process at a moment. `hour`: market hours since the beginning; `memory`: bytes not backed by
    files.

    Pages inherited from a parent count for the child: otherwise each page that the parent writes to would be growth.
    """

    hour: float
    process: str
    memory: int
    files: int
    threads: int


class Use(NamedTuple):
    """Medians of a process: in the second hour, in the last one, and of memory in the hour with the most."""

    process: str
    memory: tuple[float, float, float]
    files: tuple[float, float]
    threads: tuple[float, float]

    @property
    def drift(self) -> float:
        """Relative change of memory from the second hour to the last."""
        first, last, _ = self.memory
        return last / first - 1

    @property
    def grew(self) -> list[str]:
        """What grew."""
        wrong = [f"{self.process}: memory {self.drift:+.1%}"] if abs(self.drift) > FLAT else []
        for name, (first, last) in (("open files", self.files), ("threads", self.threads)):
            if last > first + LATE:
                wrong.append(f"{self.process}: {name} {first:g} to {last:g}")
        return wrong


def uses(samples: Iterable[Sample]) -> list[Use]:
    """Use of each process, hour by hour, without the first hour. Pure."""
    by_process: defaultdict[str, defaultdict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        if sample.hour >= 1:
            by_process[sample.process][int(sample.hour)].append(sample)
    return [_use(name, [hours[n] for n in sorted(hours)]) for name, hours in by_process.items()]


def _use(process: str, hours: list[list[Sample]]) -> Use:
    memory = [statistics.median(s.memory for s in hour) for hour in hours]
    files = [statistics.median(s.files for s in hour) for hour in hours]
    threads = [statistics.median(s.threads for s in hour) for hour in hours]
    return Use(process, (memory[0], memory[-1], max(memory)), (files[0], files[-1]), (threads[0], threads[-1]))


def samples_now(everything: World, hour: float) -> Iterator[Sample]:
    """Current use of every process, and of Redis as it reports it."""
    for name in everything.system.processes:
        main = everything.process(name)
        for suffix, one in [("", main), *((f", child {i}", child) for i, child in enumerate(main.children(), 1))]:
            with suppress(psutil.NoSuchProcess):
                yield _sample(hour, name + suffix, one)
    if redis := everything.redis_process():
        yield _sample(hour, "Redis", redis)
        used = everything.system.context.redis.info("memory")
        yield Sample(hour, "Redis: used_memory", int(used["used_memory"]), 0, 0)


def _sample(hour: float, name: str, process: psutil.Process) -> Sample:
    with process.oneshot():
        used = process.memory_full_info()
        return Sample(hour, name, used.rss - used.shared + used.swap, process.num_fds(), process.num_threads())


def fill(context: Context) -> None:
    """Store the maximum of alerts and events: old ones, which are dropped first."""
    events: list[Any] = context.redis.xrevrange(keys.EVENTS, count=1_000)  # type: ignore[assignment]
    for revision, some in enumerate(batched(range(-ALERTS_KEPT, 0), 500), 1):
        facts = [fact(number, OLD) for number in some]
        alerts = [Alert(f["id"], f["start"], "-150 down", (), f) for f in facts]
        first_s, last_s = facts[0]["start"], facts[-1]["start"]
        change = AlertChange(AlertCursor(first_s, last_s, first_s), False, [(first_s, last_s)], RULED, alerts, [])
        context.indicators.write([IndicatorValue(OLD, revision, facts[-1]["start"], {}, change)])
    kept = context.settings.events_kept
    for some in batched(range(kept), len(events)):
        with context.redis.pipeline(transaction=False) as pipe:
            for number in some:
                pipe.xadd(keys.EVENTS, events[number % len(events)][1], maxlen=kept, approximate=True)
            pipe.execute()


def request_everything(url: str, products: Iterable[str], timeframes: Iterable[Timeframe]) -> None:
    """Fill the web process's cache of responses."""
    with requests.Session() as session:
        for product, timeframe in itertools.product(products, timeframes):
            for route in ("candles", "indicators"):
                session.get(f"{url}/v1/{route}/{product}", params={"timeframe": timeframe}, timeout=PATIENCE_S)


@contextmanager
def clients(url: str) -> Iterator[None]:
    """Four clients of the stream, and one that reads pages and metrics all the time."""
    with ExitStack() as stack:
        stop = threading.Event()
        everything = ["close", "correction", "indicator", "alert", "alert_state", "forming"]
        for kinds in ([], [], ["close"], everything):
            client = Client(url)
            stack.callback(client.close)
            threading.Thread(target=_follow, args=(client, kinds), daemon=True).start()
        reader = threading.Thread(target=_read, args=(url, stop), daemon=True)
        reader.start()
        stack.callback(reader.join)
        stack.callback(stop.set)
        yield


def _follow(client: Client, kinds: list[str]) -> None:
    with suppress(ApiError, requests.RequestException):
        for _ in client.events(kinds=kinds):
            pass


def _read(url: str, stop: threading.Event) -> None:
    with requests.Session() as session:
        while not stop.wait(0.5):
            for page in PAGES:
                with suppress(requests.RequestException):
                    session.get(url + page, timeout=10)


class Result(NamedTuple):
    """`events` and `alerts`: how many Redis keeps at the end; `wrong`: what is not the truth then."""

    hours: float
    products: int
    uses: list[Use]
    events: int
    alerts: int
    wrong: list[str]

    @property
    def broken(self) -> list[str]:
        return [*(line for use in self.uses for line in use.grew), *self.wrong]


def run(hours: float, products: int, seed: int, folder: Path, write: Callable[[str], None]) -> Result:
    """`hours` of market time."""
    listed = products + products // 10 + 1  # some of them are not in USD
    names, settings = (*PROCESSES, "watchdog"), {"CANDLEWICK_COINBASE__PRODUCTS": f"top:{products}:USD"}
    with world(folder, listed, seed, *names, start_at=START, **settings) as everything:
        exchange, system = everything.exchange, everything.system
        context = system.context
        eventually(lambda: system.knows_every_series(products), timeout=PATIENCE_S + 60 * products, interval=0.5)
        followed = context.products.delivered()
        write(f"started: {len(followed)} products")
        # Wait for events of an ordinary market, which `fill` copies.
        system.wait_until(max(WARM_S, system.now_s() + 1_200))
        url = f"http://127.0.0.1:{context.settings.web_port}"
        with clients(url):
            fill(context)
            request_everything(url, followed, context.settings.timeframes)
            samples = list(_watch(everything, hours, write))
            events, alerts = int(context.redis.xlen(keys.EVENTS)), int(context.redis.zcard(keys.ALERTS))
        end_s = exchange.now_s()
        wrong = until_true(system, exchange, followed, context.settings.timeframes, end_s, end_s + HOUR_S)
        return Result(hours, len(followed), uses(samples), events, alerts, wrong)


def _watch(everything: World, hours: float, write: Callable[[str], None]) -> Iterator[Sample]:
    """A sample of every process, every five market minutes."""
    began_s, count = everything.exchange.now_s(), int(hours * HOUR_S / SAMPLE_S)
    for number in range(count):
        while (left_s := began_s + number * SAMPLE_S - everything.exchange.now_s()) > 0:
            time.sleep(left_s / SPEED)
        hour = number * SAMPLE_S / HOUR_S
        seen = list(samples_now(everything, hour))
        if number * SAMPLE_S % HOUR_S == 0:
            write(f"{hour:3.0f} h  " + ", ".join(f"{s.process} {s.memory / 1e6:.0f} MB" for s in seen))
        yield from seen


def report(result: Result) -> Table:
    title = f"{result.hours:g} market hours, {result.products} products, {result.events} events, {result.alerts} alerts"
    table = Table(title=title, box=box.MARKDOWN)
    table.add_column("process", no_wrap=True)
    for column in ("2nd hour", "last hour", "change", "most", "open files", "threads"):
        table.add_column(column, justify="right", no_wrap=True)
    for use in result.uses:
        first, last, most = (f"{m / 1e6:.1f} MB" for m in use.memory)
        counts = (f"{a:g} → {b:g}" if a else "" for a, b in (use.files, use.threads))
        table.add_row(use.process, first, last, f"{use.drift:+.1%}", most, *counts)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="hours of an ordinary market, in which nothing may grow")
    parser.add_argument("--hours", type=float, default=8, help="market hours, three at least; an hour takes a minute")
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for logs and data (default: one that is deleted)")
    options = parser.parse_args()
    if options.hours < 3:
        parser.error("it takes three hours: the first does not count, and two are compared")
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as temporary:
        result = run(options.hours, options.products, options.seed, options.keep or Path(temporary), console.print)
    console.print(report(result))
    for line in result.broken[:20]:
        console.print(line, markup=False)
    return int(bool(result.broken))


if __name__ == "__main__":
    raise SystemExit(main())

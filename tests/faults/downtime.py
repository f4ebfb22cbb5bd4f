"""Downtimes: everything stops while the market continues. How much is requested afterwards, and is everything complete?

    python -m tests.faults.downtime --hours 1 6 30 48 100 1000 --products 25

Runs the whole system as real processes against a local exchange whose REST takes 0.15 s per response. Everything is
complete before each downtime. Prints one table; exits with 1 if a promise was broken. It is judged from outside: by the
exchange's truth, its ledger, and the capacity of a ring.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from app.market.series import Series
from app.market.timeframes import Timeframe
from tests.faults.ledger import busiest_second, refused
from tests.faults.pages import Connectivity, brought_nothing_new, by_timeframe, pages_missing
from tests.faults.world import FLOW, World, world
from tests.oracle import Ring, followed, held, wrong_candles, wrong_indicators

HOURS = (1, 6, 30, 48, 100, 1_000)
START = "2021-03-04T01:17:00Z"
"""Every bucket before the open one has settled: unsettled ones would be requested again after any downtime."""

LATENCY_S = 0.15
THREADS = 4
BUDGET = 5
OVERHEAD = 1.05
"""Most requests per needed one."""

EXTRA_S = 600.0
"""Real seconds for work that does not depend on the number of pages: starting processes, waiting for a scan."""

COLUMNS = (
    "down", "missing pages", "requests", "again", "ratio", "busiest second", "429", "seconds until true", "lost",
    "wrong",
)  # fmt: skip


class Row(NamedTuple):
    """One downtime. `pages`: the missing ones; `again`: requests that brought no new bucket.

    `seconds`: real ones until everything was true.
    """

    name: str
    pages: Counter[Timeframe]
    requests: Counter[Timeframe]
    again: int
    busiest: int
    throttled: int
    seconds: float
    lost: list[str]
    wrong: list[str]

    @property
    def ratio(self) -> float:
        """Requests per needed one: a page, or another request for buckets that had not settled or were contradicted."""
        return self.requests.total() / max(1, self.pages.total() + self.again)

    @property
    def broken(self) -> bool:
        over_budget = self.throttled or self.busiest > BUDGET
        return bool(self.lost or self.wrong or over_budget or self.ratio > OVERHEAD)

    @property
    def cells(self) -> list[str]:
        numbers = [
            self.pages.total(),
            self.requests.total(),
            self.again,
            f"{self.ratio:.2f}",
            self.busiest,
            self.throttled,
        ]
        return [self.name, *map(str, numbers), f"{self.seconds:.0f}", str(len(self.lost)), str(len(self.wrong))]


def run(hours: list[float], products: int, seed: int, folder: Path, speed: int) -> Iterator[Row]:
    """The start, then each downtime, in one installation."""
    env = {
        "CANDLEWICK_BACKFILL_THREADS": str(THREADS),
        "CANDLEWICK_COINBASE__REST_REQUESTS_PER_SECOND": str(BUDGET),
        "CANDLEWICK_RECONCILE_SECONDS": "1000000000",  # no reconciliation: every request has another reason
    }
    with world(folder, products, seed, *FLOW, start_at=START, speed=speed, **env) as everything:
        exchange = everything.exchange
        exchange.inject("rest_latency", seconds=LATENCY_S)
        yield recovery(everything, "the start", exchange.now_s(), pages_of(everything, from_nothing=True), 0.0)
        for down in hours:
            with everything.down(signal.SIGTERM):
                exchange.jump(down * 3_600)
                pages, since_s = pages_of(everything), exchange.get("/local/ledger")["monotonic_s"]
            yield recovery(everything, f"{down:g} h", exchange.now_s(), pages, since_s)


def pages_of(everything: World, *, from_nothing: bool = False) -> Counter[Timeframe]:
    """The missing pages, by the exchange's truth and the content of the rings."""
    pages: Counter[Timeframe] = Counter()
    for product, source in followed(everything.system, everything.exchange).items():
        pages += _pages_of_product(everything, product, source, from_nothing)
    return pages


def _pages_of_product(everything: World, product: str, source: str, from_nothing: bool) -> Counter[Timeframe]:
    system, now_s = everything.system, everything.exchange.now_s()
    reach: dict[Timeframe, Connectivity] = {}
    known: dict[Timeframe, set[int]] = {}
    for timeframe in system.context.settings.timeframes:
        ring = Ring(system, timeframe, now_s)
        truth = everything.exchange.truth(source, timeframe, ring.first_s, ring.last_s)
        reach[timeframe] = Connectivity(min(truth, default=ring.last_s + ring.step), ring.last_s)
        series = Series("coinbase", product, timeframe)
        view = system.context.candles.read(series, ring.first_s, ring.last_s)
        known[timeframe] = set() if from_nothing else set(held(view))
    return pages_missing(reach, known)


def recovery(everything: World, name: str, end_s: float, pages: Counter[Timeframe], since_s: float) -> Row:
    """Wait until everything that was over at `end_s` is complete; `since_s`: its beginning in the ledger."""
    began = time.monotonic()
    problems = _until_true(everything, end_s, began + 3 * pages.total() / BUDGET + EXTRA_S)
    took_s = time.monotonic() - began
    ledger = everything.exchange.get("/local/ledger", since=since_s)
    candles = [r for r in ledger["requests"] if r["path"].endswith("/candles")]
    return Row(
        name,
        pages,
        by_timeframe(candles),
        brought_nothing_new(candles),
        busiest_second(ledger),
        refused(ledger)[0],
        took_s,
        [p for p in problems if "missing" in p],
        [p for p in problems if "missing" not in p],
    )


def _until_true(everything: World, end_s: float, deadline: float) -> list[str]:
    """What still differs from the truth at `deadline` (monotonic)."""
    left = dict(followed(everything.system, everything.exchange))
    while left and time.monotonic() < deadline:
        product = next(iter(left))
        if next(_untrue(everything, {product: left[product]}, end_s), None) is None:
            del left[product]
        else:
            left[product] = left.pop(product)  # the others first
            time.sleep(0.5)
    return list(_untrue(everything, left, end_s))


def _untrue(everything: World, products: dict[str, str], end_s: float) -> Iterator[str]:
    system, exchange = everything.system, everything.exchange
    timeframes = system.context.settings.timeframes
    yield from wrong_candles(system, exchange, products, timeframes, end_s)
    yield from wrong_indicators(system, exchange, products, timeframes, end_s)


def report(rows: list[Row], products: int, timeframes: int) -> Table:
    title = f"{products} products in {timeframes} timeframes, REST with {LATENCY_S:g} s latency, {THREADS} threads"
    table = Table(title=title, box=box.MARKDOWN)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="downtimes of market hours, and what it takes to come back")
    parser.add_argument("--hours", type=float, nargs="+", default=HOURS, help="market hours, one downtime each")
    parser.add_argument("--products", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=int, default=1, help="market seconds in a real one, while the system runs")
    parser.add_argument("--keep", type=Path, help="folder for logs and data (default: one that is deleted)")
    options = parser.parse_args()
    console, rows = Console(width=140), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for row in run(list(options.hours), options.products, options.seed, folder, options.speed):
            rows.append(row)
            console.print(f"{row.name}: {'BROKEN' if row.broken else 'ok'} after {row.seconds:.0f} s")
            each = (f"{t} {row.requests[t]} for {row.pages[t]}" for t in Timeframe if row.requests[t] or row.pages[t])
            console.print(f"    requests for missing pages: {', '.join(each)}; {row.again} brought nothing new")
            for line in islice([*row.lost, *row.wrong], 8):
                console.print(f"    {line[:300]}", markup=False)
    console.print(report(rows, options.products, 5))
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())

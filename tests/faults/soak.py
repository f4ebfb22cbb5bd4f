"""Hours of market with a fault in each: afterwards the cache must equal the exchange, and so must the indicators.

    python -m tests.faults.soak --hours 24 --products 25 --seed 1

Runs the whole system as real processes against a local exchange at 60 times real time. Prints one table; exits with 1
if a promise was broken. The same seed makes the same faults.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.faults.catalogue import Fault, catalogue
from tests.faults.ledger import busiest_second, refused, repeated
from tests.faults.world import SPEED, world
from tests.oracle import Exchange, followed, wrong_candles, wrong_indicators
from tests.support import PATIENCE_S, eventually
from tests.system import System

HOUR_S = 3600
STREAM_AND_REST = ("link", "frames", "REST", "truth")
"""The groups of faults that come from the exchange; the others are for `chaos`."""


class Result(NamedTuple):
    """The result of a soak. Only `wrong`, `throttled`, `most_in_a_second` and `repeated` can break a promise."""

    hours: float
    faults: Counter[str]
    wrong: list[str]
    recovery_s: float
    requests: int
    throttled: int
    injected_429: int
    most_in_a_second: int
    repeated: int
    corrections: dict[str, int]

    def broken(self, budget: int) -> bool:
        return bool(self.wrong or self.throttled or self.repeated or self.most_in_a_second > budget)


def exchange_faults() -> list[Fault]:
    return [f for f in catalogue() if f.group in STREAM_AND_REST]


def run(hours: float, products: int, seed: int, folder: Path, write: Callable[[str], None]) -> Result:
    """`hours` of market time."""
    chance, known = random.Random(seed), exchange_faults()
    with world(folder, products, seed, "ingest", "indicators", "backfill", "alerts", "beat") as everything:
        exchange, system = everything.exchange, everything.system
        timeframes = system.context.settings.timeframes
        eventually(lambda: system.has_started(products), timeout=PATIENCE_S + 20 * products, interval=0.5)
        write(f"started: {len(followed(system, exchange))} products, {len(exchange.requests_for_candles())} requests")
        began_s, faults = exchange.now_s(), Counter[str]()
        while exchange.now_s() < began_s + hours * HOUR_S:
            fault = chance.choice(known)
            faults[fault.name] += 1
            write(f"{(exchange.now_s() - began_s) / HOUR_S:5.1f} h  {fault.name}")
            next_s = exchange.now_s() + chance.uniform(0.7, 1.0) * HOUR_S
            for wait_s in fault.strike(everything, chance):
                time.sleep(wait_s)
            _wait(exchange, min(next_s, began_s + hours * HOUR_S))
        exchange.clear()
        everything.follow_listing()
        end_s, ended = exchange.now_s(), time.monotonic()
        # Unannounced revisions are found once each timeframe had its reconciliation.
        wrong = until_true(system, exchange, end_s, end_s + (len(timeframes) - 1) * HOUR_S + 1_800)
        return _result(hours, faults, wrong, time.monotonic() - ended, exchange, system)


def _wait(exchange: Exchange, until_s: float) -> None:
    while (left_s := until_s - exchange.now_s()) > 0:
        time.sleep(min(1.0, left_s / SPEED))


def until_true(system: System, exchange: Exchange, end_s: float, until_s: float) -> list[str]:
    """What is still wrong at `until_s`, among everything that was over at `end_s`."""
    products, timeframes = followed(system, exchange), system.context.settings.timeframes
    while True:
        wrong = list(wrong_candles(system, exchange, products, timeframes, end_s))
        wrong = wrong or list(wrong_indicators(system, exchange, products, timeframes, end_s))
        if not wrong or exchange.now_s() > until_s:
            return wrong
        time.sleep(0.5)


def _result(
    hours: float, faults: Counter[str], wrong: list[str], recovery_s: float, exchange: Exchange, system: System
) -> Result:
    ledger = exchange.get("/local/ledger")
    throttled, injected = refused(ledger)
    counters = system.context.redis.hgetall("cw:2:counters")
    return Result(
        hours,
        faults,
        wrong,
        recovery_s,
        ledger["requests_total"],
        throttled,
        injected,
        busiest_second(ledger),
        repeated(ledger["requests"]),
        {k.decode(): int(v) for k, v in counters.items() if isinstance(k, bytes)},
    )


def report(result: Result, budget: int) -> Table:
    table = Table(title=f"{result.hours:g} market hours, {sum(result.faults.values())} faults")
    table.add_column("what")
    table.add_column("seen", justify="right")
    table.add_column("to reach", justify="right")
    for row in (
        ("wrong or missing candles and indicators", len(result.wrong), "0"),
        ("answers of 429 that were not injected", result.throttled, "0"),
        ("answers of 429 that were injected", result.injected_429, ""),
        ("requests in the busiest second", result.most_in_a_second, f"≤ {budget}"),
        ("requests for what had been answered", result.repeated, "0"),
        ("requests in all", result.requests, ""),
        ("real seconds from the end to the truth", f"{result.recovery_s:.1f}", ""),
        *((f"corrections: {k}", v, "") for k, v in sorted(result.corrections.items())),
    ):
        table.add_row(*map(str, row))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="hours of market with a fault in each")
    parser.add_argument("--hours", type=float, default=24, help="market hours; an hour takes a minute")
    parser.add_argument("--products", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for logs and data (default: one that is deleted)")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        result = run(options.hours, options.products, options.seed, folder, console.print)
    console.print(report(result, budget=5))
    for line in result.wrong[:20]:
        console.print(line)
    broken = result.broken(budget=5)
    if broken:
        console.print(f"run it again with: python -m tests.faults.soak --hours {options.hours:g} --seed {options.seed}")
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())

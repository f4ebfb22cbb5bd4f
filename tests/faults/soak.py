"""Hours of market with a fault in each: afterwards the cache must equal the exchange, and so must the indicators.

    python -m tests.faults.soak --hours 24 --products 25 --seed 1

Runs the whole system as real processes against a local exchange at 60 times real time. Prints one table; exits with 1
where a promise was broken. The same seed makes the same faults.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from rich.console import Console
from rich.table import Table

from app.launch.redis import RedisServer
from app.timeframes import Timeframe
from tests.oracle import Exchange, wrong_candles, wrong_indicators
from tests.support import Process, eventually, free_port
from tests.system import System

SPEED = 60
HOUR_S = 3600
START = "2021-03-04T00:00:00Z"
SETTLED_S = 90
"""Settled beyond doubt, also for a process that heard the clock a moment ago."""

Plan = Callable[[Exchange, random.Random], str]


class Result(NamedTuple):
    """What a soak found. Only `wrong`, `throttled`, `over_budget` and `asked_again` say that something is broken."""

    hours: float
    faults: Counter[str]
    wrong: list[str]
    recovery_s: float
    requests: int
    throttled: int
    injected_429: int
    most_in_a_second: int
    asked_again: int
    corrections: dict[str, int]

    def broken(self, budget: int) -> bool:
        return bool(self.wrong or self.throttled or self.asked_again or self.most_in_a_second > budget)


def _faults() -> list[tuple[str, list[dict[str, Any]]]]:
    """What can happen in one market hour: a name, and the faults that are switched on together."""
    cut = {"fault": "reset"}
    links = [
        ("closed by a deploy", [{"fault": "close", "code": 1001}]),
        ("closed as if done", [{"fault": "close", "code": 1000}]),
        ("connection reset", [cut]),
        ("away for 20 minutes", [{"fault": "refuse_connections", "for_seconds": 20}, cut]),
        ("half-open", [{"fault": "half_open", "for_seconds": 15}]),
        ("silent socket", [{"fault": "freeze_socket", "for_seconds": 8}]),
        ("candles silent", [{"fault": "freeze_channel", "channel": "candles", "for_seconds": 20}]),
        ("one product silent", [{"fault": "freeze_channel", "product": "BTC-USD", "for_seconds": 12}]),
    ]
    frames = [
        ("frames dropped", [{"fault": "drop_frames", "count": 80}]),
        ("frames twice", [{"fault": "duplicate_frames", "count": 80}]),
        ("frames out of order", [{"fault": "reorder_frames", "count": 80}]),
        ("snapshot storm", [{"fault": "snapshot_storm", "count": 3}]),
        ("stale update", [{"fault": "stale_update", "product": "ETH-USD", "buckets_back": 1}]),
        *((f"garbage: {kind}", [{"fault": "garbage", "kind": kind, "count": 5}]) for kind in GARBAGE),
    ]
    rest = [
        ("429", [{"fault": "rest_429", "count": 3}, cut]),
        ("429 as a page, empty", [{"fault": "rest_429", "count": 1, "body": b} for b in ("html", "empty")] + [cut]),
        ("401", [{"fault": "rest_401", "count": 2}, cut]),
        ("502", [{"fault": "rest_502", "count": 6}, cut]),
        ("500", [{"fault": "rest_500", "count": 6}, cut]),
        ("REST hangs", [{"fault": "rest_hang", "count": 2, "seconds": 30}, cut]),
        ("REST cuts off", [{"fault": "rest_truncated", "count": 4}, cut]),
        ("REST is late", [{"fault": "rest_late", "seconds": 45, "for_seconds": 25}, cut]),
    ]
    return links + frames + rest


GARBAGE = (
    "not_json",
    "wrong_types",
    "nan",
    "deep_nesting",
    "huge_number",
    "invalid_utf8",
    "high_below_low",
    "misaligned",
    "unknown_product",
    "old_snapshot",
)


def _revise(exchange: Exchange, chance: random.Random) -> str:
    bucket = Timeframe.M5.bucket(exchange.now_s()) - 300 * chance.randint(2, 20)
    announce = chance.random() < 0.5
    exchange.inject("revise", product="BTC-USD", start=bucket, announce=announce)
    return "closed bucket revised" + (", told" if announce else ", not told")


def strike(exchange: Exchange, chance: random.Random) -> str:
    """Let one fault happen; returns its name."""
    kinds = _faults()
    number = chance.randrange(len(kinds) + 3)
    if number >= len(kinds):
        return _revise(exchange, chance)
    name, faults = kinds[number]
    for fault in faults:
        exchange.inject(**fault)
    return name


def run(hours: float, products: int, seed: int, folder: Path, say: Callable[[str], None]) -> Result:
    """`hours` of market time."""
    chance = random.Random(seed)
    with running(products, seed, folder) as (exchange, system):
        timeframes = system.context.settings.timeframes
        eventually(lambda: system.has_started(products), timeout=60 + 2 * products, interval=0.5)
        followed = system.context.products.delivered()
        say(f"started: {len(followed)} products, {len(exchange.requests_for_candles())} requests")
        began_s, faults = exchange.now_s(), Counter[str]()
        while exchange.now_s() < began_s + hours * HOUR_S:
            name = strike(exchange, chance)
            faults[name] += 1
            say(f"{(exchange.now_s() - began_s) / HOUR_S:5.1f} h  {name}")
            pause_s = chance.uniform(0.7, 1.0) * HOUR_S
            _wait(exchange, min(exchange.now_s() + pause_s, began_s + hours * HOUR_S))
        exchange.clear()
        end_s, ended = exchange.now_s(), time.monotonic()
        # What the exchange changed without telling anybody is found by the next reconciliation.
        next_hour_s = (end_s // HOUR_S + 1) * HOUR_S
        wrong = _until_true(system, exchange, followed, timeframes, end_s, next_hour_s + 600)
        return _result(hours, faults, wrong, time.monotonic() - ended, exchange, system)


@contextmanager
def running(
    products: int, seed: int, folder: Path, speed: int = SPEED, **env: str
) -> Iterator[tuple[Exchange, System]]:
    """The whole system against an exchange with so many products, its logs and data in `folder`."""
    started: list[Process] = []

    def start(command: list[str], env: dict[str, str] | None = None) -> Process:
        process = Process(command, folder / f"{len(started)}.log", env=env)
        started.append(process)
        return process

    (folder / "redis").mkdir(parents=True, exist_ok=True)
    with RedisServer(folder / "redis", free_port()) as server:
        try:
            exchange = Exchange(free_port())
            command = [sys.executable, "-m", "app.exchange.local", "--port", str(exchange.port), "--start", START]
            start([*command, "--speed", str(speed), "--seed", str(seed), "--products", str(products)])
            eventually(exchange.now_s, timeout=20)
            urls = {"EXCHANGE_WS_URL": exchange.ws_url, "EXCHANGE_REST_URL": exchange.rest_url}
            system = System(start, server.url, {**urls, "PRODUCTS": "all:USD", **env})
            system.start_all()
            yield exchange, system
        finally:
            for process in started:
                process.end()


def _wait(exchange: Exchange, until_s: float) -> None:
    while (left_s := until_s - exchange.now_s()) > 0:
        time.sleep(min(1.0, left_s / SPEED))


def _until_true(
    system: System,
    exchange: Exchange,
    products: list[str],
    timeframes: tuple[Timeframe, ...],
    end_s: float,
    until_s: float,
) -> list[str]:
    """What is still wrong at `until_s`, of all that was over at `end_s`."""
    while True:
        wrong = wrong_candles(system, exchange, products, timeframes, end_s)
        wrong = wrong or wrong_indicators(system, products, timeframes)
        if not wrong or exchange.now_s() > until_s:
            return wrong
        time.sleep(0.5)


def _result(
    hours: float, faults: Counter[str], wrong: list[str], recovery_s: float, exchange: Exchange, system: System
) -> Result:
    ledger = exchange.get("/local/ledger")
    refused = [r for r in ledger["requests"] if r["status"] == 429]
    counters = system.context.redis.hgetall("cw:1:counters")
    return Result(
        hours,
        faults,
        wrong,
        recovery_s,
        ledger["requests_total"],
        sum(not r["note"] for r in refused),
        sum(bool(r["note"]) for r in refused),
        most_in_a_second([r["monotonic_s"] for r in ledger["requests"] if not r["path"].startswith("/local")]),
        asked_again(ledger["requests"]),
        {k.decode(): int(v) for k, v in counters.items()},
    )


def most_in_a_second(times: list[float]) -> int:
    """The largest number of `times` within any window of one second."""
    times, first, most = sorted(times), 0, 0
    for last, time_s in enumerate(times):
        while time_s - times[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def asked_again(requests: list[dict[str, Any]]) -> int:
    """Buckets that were asked for although a settled answer on them had come; reconciliations are left out."""
    answered: set[tuple[str, int]] = set()
    again = 0
    for r in requests:
        query = parse_qs(r["query"])
        if r["status"] != 200 or r["note"] or not r["path"].endswith("/candles"):
            continue
        first, last = int(query["start"][0]), int(query["end"][0])
        if query["granularity"] != ["FIVE_MINUTE"]:
            continue
        settled = {
            (r["path"], b) for b in range(first, last + 1, 300) if b + 300 + SETTLED_S <= r["exchange_ms"] / 1000
        }
        if len(settled) < 300:  # more is a start or a reconciliation
            again += len(settled & answered)
        answered |= settled
    return again


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
        ("settled buckets asked for again", result.asked_again, "0"),
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

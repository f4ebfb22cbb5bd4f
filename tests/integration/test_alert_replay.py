"""Real market data through the cache and the computation: always the same alerts, in any order of arrival."""

from __future__ import annotations

import csv
import gzip
import random
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from app.alerts.evaluate import Evaluator
from app.compute.computer import Computer
from app.market.candles import CandleState
from app.market.records import RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alerts import AlertCache, StoredAlert
from app.storage.candles import CandleCache
from app.storage.changed_ranges import ChangedRange, changed_ranges
from app.storage.clock import ClockCache
from app.storage.connection import connect
from app.storage.indicators import IndicatorCache
from app.storage.model import Write
from tests.alerting import alert_settings
from tests.alerts_reference import RULES, Expected, Row, expected_alerts, rows_of
from tests.recorded import CANDLES

PRODUCTS = ("ETH-BTC", "XLM-BTC")
TIMEFRAMES = (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
SEEDED = 12 * 24 * 2
"""Bars of 5m before watching begins: some of every timeframe."""

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.7)]

Market = dict[str, Records]


@pytest.fixture(scope="module")
def market() -> Market:
    """12 days of 5m candles by product."""
    return {product: _read(product) for product in PRODUCTS}


def _read(product: str) -> Records:
    with gzip.open(CANDLES / f"{product}-5m.csv.gz", "rt") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    records = np.zeros(len(rows), RECORD)
    records["start_s"] = [row["start"] for row in rows]
    for field in ("open", "high", "low", "close", "volume"):
        records[field] = [row[field] for row in rows]
    records["flags"], records["observed_ms"] = CandleState.CLOSED, (records["start_s"].astype(np.uint64) + 300) * 1000
    return records


class Worker:
    """The parts of an indicator worker, with a connection of its own."""

    def __init__(self, url: str) -> None:
        self.client = connect(url)
        self.clock = ClockCache(self.client, "coinbase")
        self.candles = CandleCache(self.client, capacity=1000, events_kept=1000)
        self.alerts = AlertCache(self.client)
        indicators = IndicatorCache(self.client, events_kept=1000)
        evaluator = Evaluator(self.candles, self.alerts, alert_settings(RULES), TIMEFRAMES)
        self.computer = Computer(self.candles, indicators, "coinbase", TIMEFRAMES, evaluator)

    def put(self, batch: dict[str, Records]) -> list[ChangedRange]:
        """Write candles of 5m; returns the changed ranges."""
        writes = [Write(Series("coinbase", p, Timeframe.M5), records) for p, records in batch.items() if len(records)]
        changed = changed_ranges(self.candles.write(writes))
        self.clock.set(max((t.last_s + 300 for t in changed), default=0) * 1000)
        return changed

    def update(self, changed: list[ChangedRange]) -> None:
        clock = self.clock.read()
        assert clock
        self.computer.update(changed, clock.exchange_s)

    def all_alerts(self) -> list[StoredAlert]:
        return self.alerts.newest(100_000, lambda _: True)[0]


@pytest.fixture
def start_worker(redis_url: str) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(redis_url))
        return workers[-1]

    yield start
    for worker in workers:
        worker.client.close()


def pieces(market: Market, seed: int, longest: int) -> Iterator[dict[str, Records]]:
    """The market in pieces of random length; the first piece is the history."""
    chance, at, size = random.Random(seed), 0, SEEDED
    while at < max(map(len, market.values())):
        yield {product: records[at : at + size] for product, records in market.items()}
        at, size = at + size, chance.randint(1, longest)


def facts(alerts: list[StoredAlert]) -> list[dict[str, Any]]:
    return [alert.fact for alert in alerts]


@pytest.fixture(scope="module")
def kept() -> dict[str, list[dict[str, Any]]]:
    """The alerts of the runs so far, by name: all must be the same."""
    return {}


def assert_same(kept: dict[str, list[dict[str, Any]]], name: str, found: list[dict[str, Any]]) -> None:
    for other, alerts in kept.items():
        assert [f["id"] for f in found] == [f["id"] for f in alerts], f"{name} is not {other}"
        assert found == alerts, f"{name} is not {other}"
    kept[name] = found


@pytest.fixture(scope="module")
def orders() -> dict[str, Any]:
    """The alerts that the runs with corrections in other orders left."""
    return {}


@pytest.mark.parametrize(("seed", "longest"), [(1, 30), (2, 80)])
def test_a_replay_gives_what_an_independent_computation_expects_at_any_speed(
    start_worker: Callable[[], Worker],
    market: Market,
    kept: dict[str, list[dict[str, Any]]],
    seed: int,
    longest: int,
) -> None:
    worker = start_worker()
    for piece in pieces(market, seed, longest):
        worker.update(worker.put(piece))
    found = worker.all_alerts()
    assert_same(kept, f"pieces of {longest}", facts(found))
    by_series: dict[tuple[str, str], list[StoredAlert]] = {}
    for alert in reversed(found):
        by_series.setdefault((alert.fact["product"], alert.fact["timeframe"]), []).append(alert)
    for product, records in market.items():
        rows = [Row(int(r["start_s"]), *(float(r[f]) for f in ("high", "low", "close"))) for r in records]
        for timeframe in TIMEFRAMES:
            step = timeframe.seconds
            candles = rows if timeframe is Timeframe.M5 else rows_of(rows, step)
            expected = expected_alerts(product, candles, step, after=timeframe.last_over(rows[SEEDED].start))
            alerts = by_series.get((product, timeframe), [])
            assert_expected(alerts, expected)
    assert len(found) > 500


def assert_expected(alerts: list[StoredAlert], expected: list[Expected]) -> None:
    alerts = sorted(alerts, key=lambda a: (a.fact["start"], a.fact["rule"]))
    expected = sorted(expected, key=lambda e: (e.start, e.rule))
    assert [(a.fact["rule"], a.fact["start"], a.event) for a in alerts] == [(e.rule, e.start, e.what) for e in expected]
    for alert, e in zip(alerts, expected, strict=True):
        assert alert.withdrawn is None
        assert alert.fact["price"] == e.price
        assert alert.fact["macdv"] == (None if e.macdv is None else pytest.approx(e.macdv, rel=1e-6, abs=1e-6))
        assert alert.fact["histogram"] == (e.histogram and pytest.approx(e.histogram, rel=1e-6, abs=1e-6))


def test_three_workers_that_race_give_the_same(
    start_worker: Callable[[], Worker], market: Market, kept: dict[str, list[dict[str, Any]]]
) -> None:
    first, idle = start_worker(), SimpleQueue[Worker]()
    for _ in range(3):
        idle.put(start_worker())
    iterator = pieces(market, 3, 60)
    first.update(first.put(next(iterator)))

    def update(changed: ChangedRange) -> None:
        worker = idle.get()
        try:
            worker.update([changed])
        finally:
            idle.put(worker)

    # A waiting worker leaves a gap. Behind one of 60 bars of 15m, alerts would rest on fewer bars than in the end: so
    # no more than three pieces are in work.
    in_work: deque[list[Future[None]]] = deque()
    with ThreadPoolExecutor(3) as threads:
        for piece in iterator:
            in_work.append([threads.submit(update, changed) for changed in first.put(piece)])
            for done in in_work.popleft() if len(in_work) == 3 else ():
                done.result()
        for done in chain.from_iterable(in_work):
            done.result()
    assert_same(kept, "three workers", facts(first.all_alerts()))


def test_a_worker_that_is_overtaken_twice_loses_no_alert(
    start_worker: Callable[[], Worker], market: Market, kept: dict[str, list[dict[str, Any]]]
) -> None:
    """As after an outage: one worker holds a page of a backfill while others finish the next two."""
    worker, size = start_worker(), 110
    worker.update(worker.put({product: records[:SEEDED] for product, records in market.items()}))
    for at in range(SEEDED, max(map(len, market.values())), 3 * size):
        starts = (at, at + size, at + 2 * size)
        late, *others = [worker.put({p: records[n : n + size] for p, records in market.items()}) for n in starts]
        for changed in (*others, late):
            worker.update(changed)
    found = {alert.id for alert in worker.all_alerts()}
    for alerts in kept.values():
        assert {fact["id"] for fact in alerts} <= found


@pytest.mark.parametrize("seed", [4, 5])
def test_corrections_in_any_order_leave_the_same_alerts(
    start_worker: Callable[[], Worker], market: Market, seed: int, orders: dict[str, Any]
) -> None:
    """Each newest candle arrives wrong first; then come, in any order, its correction and those of older ones."""
    worker, order, wrong = start_worker(), random.Random(seed), random.Random(0)
    records = market["XLM-BTC"][: SEEDED + 200]
    for bar in range(SEEDED, len(records)):
        changed = worker.put({"XLM-BTC": records[:SEEDED] if bar == SEEDED else spoiled(records[bar], wrong)})
        worker.update(changed)
        parts = [records[bar : bar + 1], *(later(records[bar - n], wrong) for n in (3, 40) if wrong.random() < 0.1)]
        order.shuffle(parts)
        for part in parts:
            if bar > SEEDED:
                worker.update(worker.put({"XLM-BTC": part}))
    standing = [a for a in worker.all_alerts() if a.withdrawn is None]
    withdrawn = [a for a in worker.all_alerts() if a.withdrawn is not None]
    assert withdrawn
    # Their values are those of the moment when they were raised, before or after a correction.
    found = [(alert.id, alert.event) for alert in standing]
    assert orders.setdefault("standing", found) == found


def spoiled(record: np.void, chance: random.Random) -> Records:
    """The candle without its last trades."""
    wrong = np.array([record], RECORD)
    wrong["observed_ms"] -= 1
    wrong["close"] = wrong["low"] if chance.random() < 0.5 else wrong["high"]
    return wrong


def later(record: np.void, chance: random.Random) -> Records:
    """A correction of the candle: its close becomes the low."""
    corrected = np.array([record], RECORD)
    corrected["observed_ms"] += 1 + chance.randrange(1000)
    corrected["close"] = corrected["low"]
    return corrected

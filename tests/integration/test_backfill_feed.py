"""Whatever happens to the feed, the cache becomes equal to the exchange again automatically."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.market.candles import CandleState
from app.market.records import CORRECTED, state_of
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys
from tests.faults.world import World, started_world
from tests.oracle import assert_true, followed, none, wrong_candles
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.8)]

M5 = Timeframe.M5
PRODUCTS = 8


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One installation for all of these, with reconciliations only on request: each test leaves it as it was."""
    with started_world(tmp_path_factory.mktemp("world"), PRODUCTS, CANDLEWICK_RECONCILE_SECONDS="86400") as everything:
        yield everything


def test_after_a_disconnect_one_request_a_product_brings_everything_back(running: World) -> None:
    exchange, system = running.exchange, running.system
    products = followed(system, exchange)
    system.wait_until(system.now_s() + 300)
    before = len(exchange.requests_for_candles())
    exchange.inject("refuse_connections", for_seconds=10)
    exchange.inject("reset")
    gone_s = exchange.now_s()
    eventually(lambda: exchange.now_s() > gone_s + 600, interval=0.1)
    eventually(lambda: exchange.streamed().issuperset(products), interval=0.1)
    missed = (exchange.now_s() - gone_s) // 300
    eventually(lambda: system.now_s() > gone_s + 600, interval=0.05)
    timeframes, until_s = system.context.settings.timeframes, gone_s + 600
    eventually(lambda: none(wrong_candles(system, exchange, products, timeframes, until_s)), interval=0.1)
    needed = exchange.requests_for_candles()[before:]
    for product in products:
        mine = [r for r in needed if f"/{product}/" in r["path"]]
        # One for each bucket that closed without a stream (two; more if a busy machine is late to connect).
        most = int(max(2, missed)) + 1
        assert len(mine) <= most, f"{product} was asked for {len(mine)} times: {[r['query'] for r in mine]}"


@pytest.mark.parametrize(
    "fault",
    ["freeze_socket", "freeze_channel"],
    ids=["silent socket", "dead channel"],
)
def test_silence_is_noticed_and_backfilled(fault: str, running: World) -> None:
    """The tests of the session check the delay to the millisecond; they have no clock."""
    exchange, system = running.exchange, running.system
    system.wait_until(system.now_s() + 120)
    log = system.processes["ingest"]
    logged = log.output()
    exchange.inject(fault)
    eventually(lambda: "lost: no " in log.output().removeprefix(logged), interval=0.1)
    exchange.clear()
    assert_true(system, exchange)
    # Shortly after other losses, the next attempt to connect waits for 30 s; REST has filled the gap by then.
    eventually(lambda: "open (number" in log.output().rpartition("lost: no ")[2], interval=0.1)


def test_an_announced_revision_is_requested_at_once_and_trusted_the_second_time(running: World) -> None:
    exchange, system = running.exchange, running.system
    system.wait_until(system.now_s() + 400)
    begun_s, btc = M5.bucket(exchange.now_s()) - 600, Series("coinbase", "BTC-USD", M5)
    subprocess.run([sys.executable, "-m", "app", "reconcile", "now"], env={**os.environ, **system.env}, check=True)

    def newest_confirmed() -> int:
        records = system.context.candles.read(btc, begun_s, M5.bucket(exchange.now_s())).records
        return int(records["start_s"][state_of(records) == CandleState.CONFIRMED].max(initial=0))

    def requests() -> int:
        return len([r for r in exchange.requests_for_candles() if "/BTC-USD/" in r["path"]])

    bucket = eventually(newest_confirmed)  # the stream still remembers it
    before = requests()
    exchange.inject("revise", product="BTC-USD", start=bucket)
    eventually(lambda: requests() > before)
    assert_true(system, exchange)
    (record,) = system.context.candles.read(btc, bucket, bucket).records
    assert record["flags"] & CORRECTED


def test_two_ingest_processes_write_and_publish_everything_once(running: World) -> None:
    exchange, system = running.exchange, running.system
    system.start("ingest2")
    eventually(lambda: "open (number 1)" in system.processes["ingest2"].output())
    system.wait_until(system.now_s() + 900)
    assert_true(system, exchange)
    closes = [
        (fields[b"kind"], fields[b"series"], fields[b"data"].split(b'"open"')[0])
        for _, fields in system.context.redis.xrange(keys.EVENTS)
        if fields[b"kind"] == b"close"
    ]
    assert closes
    assert len(closes) == len(set(closes)), "a close was told twice"

"""One invalid entry in Redis affects only itself: pages, scans and the backfill queue continue without it."""

from __future__ import annotations

import pytest
import redis

from app.backfill.scan import Scanner
from app.context import Context
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.query.overview import read_overview
from app.query.status import read_status
from app.storage import keys, mismatches
from app.storage.forming import FormingFeed
from app.storage.heartbeats import Heartbeat, process_records
from app.storage.queue import BackfillRequest, Kind, Priority
from app.tasks import Tasks
from app.web.metrics.sources import read_sources
from tests import filled
from tests.build import candle
from tests.support import eventually
from workers.app import app

pytestmark = pytest.mark.integration

JUNK = [
    b"",
    b"\xff",
    b"7",
    b"null",
    b"[]",
    b"{}",
    b"{",
    b'{"stored_ms":"x"}',
    b'{"reason":1}',
    b"gap|BTC-USD|7m",
    b"a|b|c",
]
NAMES = [b"\xff", b"A B", b"gap|{x}|5m", b"gap|BTC-USD", b"gap|BTC-USD|7m", b"no|BTC-USD|5m"]
GAP = BackfillRequest(Kind.GAP, "BTC-USD", Timeframe.M5)


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str, tasks: Tasks) -> Context:
    context = Context(filled.settings(redis_url), redis_client)
    context.tasks = tasks
    filled.fill(context)
    return context


def spoil(client: redis.Redis) -> None:
    """Write junk wherever many entries are read at once."""
    hashes = [keys.products("coinbase"), keys.health("coinbase"), keys.COUNTERS]
    hashes += [keys.backfill("coinbase", part) for part in ("urgency", "failures")]
    for name, value in zip(NAMES * 2, JUNK, strict=False):
        for key in hashes:
            client.hset(key, name, value)  # type: ignore[arg-type]
        for part in ("ready", "settling", "delayed", "leased"):
            client.zadd(keys.backfill("coinbase", part), {name: 0})
        client.zadd(keys.PROCESSES, {name: 2**52})
    for number, value in enumerate(JUNK):
        client.hset(keys.health("coinbase"), f"host:{number}", value)  # type: ignore[arg-type]
        client.hset(keys.backfill("coinbase", "failures"), f"gap|X{number}-USD|5m", value)  # type: ignore[arg-type]
        client.xadd(keys.MISMATCHES, {"cause": value, "data": value})
        client.xadd(keys.MISMATCHES, {"cause": "gap"})
        client.hset(keys.indicator(Series("coinbase", "SOL-USD", Timeframe.M5)), "data", value)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", JUNK)
def test_status_overview_and_metrics_show_all_the_others(
    context: Context, redis_client: redis.Redis, data: bytes
) -> None:
    context.queue.fail(GAP, "why", 5)
    before, overview = read_status(context, context.settings), read_overview(context, context.settings)
    spoil(redis_client)
    redis_client.hset(keys.indicator(Series("coinbase", "SOL-USD", Timeframe.M5)), "data", data)  # type: ignore[arg-type]
    status = read_status(context, context.settings)
    assert [p.product for p in status.products] == [p.product for p in before.products]
    assert len(status.series) == len(before.series)
    assert [i.name for i in status.feed.ingests] == [i.name for i in before.feed.ingests]
    assert status.gaps.failures == before.gaps.failures
    rows = zip(read_overview(context, context.settings)["products"], overview["products"], strict=True)
    assert all(now == then for now, then in rows if now["product"] != "SOL-USD")
    assert read_sources(context, status).status is status
    assert len(context.indicators.read_many([Series("coinbase", "SOL-USD", Timeframe.M5)])) == 1


def test_a_scan_continues(context: Context, redis_client: redis.Redis) -> None:
    scanner, now_ms = Scanner(context, context.settings), (filled.NOW_S + 3_600) * 1000
    before = scanner.scan(now_ms)
    assert before
    spoil(redis_client)
    found = scanner.scan(now_ms)
    assert [(f.series, f.due) for f in found] == [(f.series, f.due) for f in before]


def test_an_invalid_entry_leaves_the_queue_and_blocks_no_request(context: Context, redis_client: redis.Redis) -> None:
    for name in NAMES:
        redis_client.zadd(keys.backfill("coinbase", "ready"), {name: -(10**9)})
    context.queue.add([(GAP, Priority.GAP)])
    assert context.queue.pending() == {GAP}
    assert context.queue.claim(1) == GAP
    assert context.queue.claim(1) is None
    assert context.queue.state() == (0, 0, 0, 1)


def test_valid_corrections_are_shown(redis_client: redis.Redis) -> None:
    row = b'{"product":"BTC-USD","timeframe":"5m","start":1,"exchange_ms":2,"fields":[],"before":{},"after":{}}'
    redis_client.xadd(keys.MISMATCHES, {"cause": "gap", "data": row})
    spoil(redis_client)
    (correction,) = mismatches.latest(redis_client)
    assert correction["product"] == "BTC-USD"


def test_forming_candles_continue(redis_client: redis.Redis) -> None:
    feed = FormingFeed(redis_client, "coinbase")
    with feed.listen() as listener:
        for data in JUNK:
            redis_client.publish(keys.forming_channel("coinbase"), data)
        feed.publish([candle(), candle(product="ETH-USD")])
        found = eventually(lambda: listener.next(1))
    assert [event.product for event in found] == ["BTC-USD", "ETH-USD"]


def test_invalid_heartbeats_end_no_process(redis_client: redis.Redis) -> None:
    Heartbeat(redis_client, "web").beat()
    (key,) = redis_client.scan_iter(keys.heartbeats("*"))
    mine = process_records(redis_client)
    for number, value in enumerate(JUNK):
        redis_client.hset(key, str(10**6 + number), value)  # type: ignore[arg-type]
    redis_client.hset(key, "x", b"{}")  # type: ignore[arg-type]
    assert process_records(redis_client) == mine


def test_one_invalid_alert_affects_only_itself(context: Context, redis_client: redis.Redis) -> None:
    good = {"data": b'{"end":1}', "event": b"e", "raised_ms": b"5"}
    for name, changes in {
        "a": {},
        "b": {"data": b"{"},
        "c": {"raised_ms": b"x"},
        "d": {"sent:log:raised": b"{"},
    }.items():
        redis_client.hset(keys.alert(name), mapping={**good, **changes})  # type: ignore[arg-type]
    redis_client.hset(keys.alert("e"), "data", b"{}")  # type: ignore[arg-type]
    assert [a.id for a in context.alerts.read("abcde")] == ["a"]


def test_one_bad_series_affects_only_itself_and_its_task_computes_the_others(
    context: Context, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import workers.indicators as module

    monkeypatch.setattr(module, "context", lambda: context)
    module._computer.cache_clear()
    start = filled.OPEN_S - 300
    products = ["BTC-USD", "SOL-USD"]
    for product in products:
        redis_client.delete(keys.indicator(Series("coinbase", product, Timeframe.M5)))
    changed = [["BTC-USD", "5m", start, start], ["foo", "5m", start, start], ["SOL-USD", "5m", start, start]]
    app.tasks["workers.indicators.update"](changed=changed)
    module._computer.cache_clear()
    many = [Series("coinbase", product, Timeframe.M5) for product in products]
    assert [v and v.start_s for v in context.indicators.read_many(many)] == [start, start]
    assert redis_client.hget(keys.COUNTERS, "rejected:series of a task") == b"1"
    assert any("'foo'" in r.getMessage() for r in caplog.records)

"""Data in Redis, data on the way to it, and data in processes have bounds: here they are reached.

docs/operations.md lists all of them.
"""

from __future__ import annotations

import ast
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from redis.exceptions import RedisError

from app.context import Context
from app.errors import InvalidInput
from app.exchange.adapter import CandleClosed, GapSuspected
from app.ingest import writer as writer_module
from app.ingest.outbox import Batch
from app.ingest.writer import Writer
from app.launch.supervision import Supervisor
from app.market.candles import CandleState
from app.market.timeframes import BASE, Timeframe
from app.storage import keys, mismatches
from app.storage.budget import Budget, Permit
from app.storage.candles import CandleCache
from app.storage.disputes import Disputes
from app.storage.forming import FormingFeed
from app.storage.health import STALE_MS, HealthCache
from app.storage.heartbeats import GONE_MS, KEPT_S, Heartbeat, live_process_counts
from app.storage.model import Write
from app.storage.products import FollowedProduct, ProductCache
from app.storage.queue import BackfillQueue, BackfillRequest, Kind, Priority
from app.storage.requests import Uncovered
from app.tasks import SERIES_PER_TASK, Tasks
from tests import filled
from tests.build import B0, STEP, candle, run, series
from tests.redis_server import RedisServer
from tests.support import ROOT, eventually
from workers.arguments import UpdateWork, parsed

pytestmark = pytest.mark.integration

NODE = 100
"""Redis trims a stream by whole nodes of this many entries."""


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str, tasks: Tasks) -> Context:
    context = Context(filled.settings(redis_url), redis_client)
    context.tasks = tasks
    return context


# --- in Redis


def test_the_event_stream_keeps_the_newest(redis_client: redis.Redis) -> None:
    CandleCache(redis_client, capacity=600, events_kept=100).write([Write(series(), run(B0, 600, CandleState.CLOSED))])
    assert 100 <= redis_client.xlen(keys.EVENTS) <= 100 + NODE


def test_a_ring_is_as_long_after_many_rounds_as_after_its_first_candle(redis_client: redis.Redis) -> None:
    cache, lengths = CandleCache(redis_client, capacity=500, events_kept=100), []
    for count in (1, 499, 1_100):
        cache.write([Write(series(), run(B0 + len(lengths) * 500 * STEP, count, CandleState.CLOSED))], announce=False)
        lengths.append(redis_client.strlen(keys.candles(series())))
    assert lengths == [500 * 56 + 16] * 3


def test_corrections_are_all_counted_and_the_newest_kept(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mismatches, "KEPT", 100)
    cache, candles = CandleCache(redis_client, capacity=500, events_kept=100), run(B0, 400, CandleState.CLOSED)
    cache.write([Write(series(), candles)])
    candles["volume"], candles["observed_ms"] = 2, 2
    written = cache.write([Write(series(), candles)])
    assert mismatches.record(redis_client, written, cause="gap", exchange_ms=0) == 400
    assert 100 <= redis_client.xlen(keys.MISMATCHES) <= 100 + NODE
    assert redis_client.hgetall(keys.COUNTERS) == {b"corrections:gap:5m": b"400"}


def test_the_backfill_queue_holds_a_request_once_in_any_state(redis_client: redis.Redis) -> None:
    queue = BackfillQueue(redis_client, "coinbase")
    requests = [BackfillRequest(kind, f"P{n}-USD", t) for kind in Kind for n in range(3) for t in (BASE, Timeframe.H1)]
    for turn in range(40):
        queue.add([(request, Priority.GAP) for request in requests])
        queue.add([(request, Priority.RECONCILE) for request in requests], not_before_ms=turn)
        for number in range(len(requests)):
            if (request := queue.claim(turn)) is None:
                continue
            queue.note_uncovered(request, (Uncovered(B0, B0, turn, 1),))
            match (turn + number) % 5:
                case 0:
                    queue.retry(request, 0)
                case 1:
                    queue.settle(request, turn + 1)
                case 2:
                    queue.fail(request, "why", turn)
                case 3:
                    queue.done(request)
                case 4:
                    queue.postpone(request, turn + 1)
    for part in ("urgency", "attempts", "failures", "uncovered"):
        assert redis_client.hlen(keys.backfill("coinbase", part)) <= len(requests)
    for part in ("ready", "settling", "delayed", "leased"):
        assert redis_client.zcard(keys.backfill("coinbase", part)) <= len(requests)
    assert queue.pending() <= set(requests)


def test_disputes_are_bounded_by_the_series_and_dropped_with_them(redis_client: redis.Redis) -> None:
    disputes = Disputes(redis_client, "coinbase")
    for turn in range(20):
        for n in range(3):
            disputes.write(series(f"P{n}-USD"), run(B0 + turn * STEP, 4))
    assert redis_client.hlen(keys.backfill("coinbase", "disputes")) == 3
    assert [len(disputes.read(series(f"P{n}-USD"))) for n in range(3)] == [4, 4, 4]
    disputes.write(series("P0-USD"), run(B0, 0))
    disputes.forget({"P0-USD", "P1-USD"})
    assert redis_client.hkeys(keys.backfill("coinbase", "disputes")) == [b"P1-USD|5m"]


def test_permits_are_never_more_than_the_budget(redis_client: redis.Redis) -> None:
    budget = Budget(redis_client, "coinbase", 5)
    taken = [eventually(lambda: isinstance(p := budget.try_acquire(), Permit) and p) for _ in range(5)]
    assert not any(isinstance(budget.try_acquire(), Permit) for _ in range(50))
    assert redis_client.zcard(f"{keys.BUDGET}:coinbase:permits") == len(taken) == 5


def test_products_that_are_no_longer_followed_are_dropped(redis_client: redis.Redis) -> None:
    cache = ProductCache(redis_client, "coinbase")
    for turn in range(20):
        cache.follow(FollowedProduct(f"P{turn}{n}-USD", f"P{turn}{n}-USD") for n in range(3))
    assert redis_client.hlen(keys.products("coinbase")) == 3


def test_ended_feeds_do_not_pile_up_without_readers(redis_client: redis.Redis) -> None:
    key, long_ago = keys.health("coinbase"), int(redis_client.time()[0]) * 1000 - STALE_MS - 1000
    for number in range(50):  # each start of a container is another host
        redis_client.hset(key, f"host{number}:7", b'{"stored_ms":%d,"dropped":0,"connections":[]}' % long_ago)
    HealthCache(redis_client, "coinbase").store([], dropped=0)
    assert redis_client.hlen(key) == 1


def test_heartbeats_of_ended_processes_and_hosts_do_not_pile_up(redis_client: redis.Redis) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    Heartbeat(redis_client, "web").beat()
    (key,) = redis_client.scan_iter(keys.heartbeats("*"))
    for number in range(20):
        redis_client.hset(key, str(ended.pid), b'{"role":"web","beats":%d,"started":"1"}' % number)
        Heartbeat(redis_client, "web").beat()
    assert redis_client.hlen(key) == 1
    assert 0 < redis_client.ttl(key) <= KEPT_S


def test_processes_without_recent_heartbeats_are_neither_shown_nor_kept(redis_client: redis.Redis) -> None:
    long_ago = int(redis_client.time()[0]) * 1000 - GONE_MS - 1000
    redis_client.zadd(keys.PROCESSES, {f"worker indicators|host{number}|7": long_ago for number in range(50)})
    assert live_process_counts(redis_client) == {}
    Heartbeat(redis_client, "web").beat()
    assert live_process_counts(redis_client) == {"web": 1}
    assert redis_client.zcard(keys.PROCESSES) == 1


def test_a_listener_that_does_not_read_is_cut_off(redis_client: redis.Redis, redis_server: RedisServer) -> None:
    with socket.socket() as subscriber:
        subscriber.connect(("127.0.0.1", urlsplit(redis_server.url).port))
        subscriber.sendall(b"SUBSCRIBE %s\r\n" % keys.forming_channel("coinbase").encode())
        eventually(lambda: listeners(redis_client) == 1)
        feed, market = FormingFeed(redis_client, "coinbase"), [candle(product=f"P{n}-USD") for n in range(700)]
        eventually(lambda: feed.publish(market) or listeners(redis_client) == 0, interval=0)
    assert redis_client.info("stats")["client_output_buffer_limit_disconnections"] >= 1


def listeners(client: redis.Redis) -> int:
    return int(client.pubsub_numsub(keys.forming_channel("coinbase"))[0][1])


# --- on the way to Redis


def test_without_a_broker_only_one_task_s_worth_of_changes_is_written(
    context: Context, redis_client: redis.Redis
) -> None:
    batch = Batch()
    for number in range(300):
        batch.closed[f"P{number}-USD", B0] = CandleClosed(candle(product=f"P{number}-USD"))
    redis_client.set("cw:2:celery:indicators", "in the way")
    writer = Writer(context, context.tasks, context.settings.settling_seconds)
    for _ in range(3):
        with pytest.raises(RedisError):
            writer.write(batch)
        assert (len(batch.changed), len(batch.closed)) == (SERIES_PER_TASK, 300 - SERIES_PER_TASK)
    redis_client.delete("cw:2:celery:indicators")
    writer.write(batch)
    assert batch == Batch()
    assert redis_client.llen("cw:2:celery:indicators") == math.ceil(300 / SERIES_PER_TASK)


def test_wake_ups_are_bounded_and_their_requests_wait_in_the_queue(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "WAKE_UPS_KEPT", 5)
    batch, writer = Batch(), Writer(context, context.tasks, context.settings.settling_seconds)
    for n in range(20):
        start = B0 + n * STEP
        batch.quiet[f"P{n}-USD"] = [GapSuspected(f"P{n}-USD", BASE, start, start, "why", settled_only=True)]
    writer.write(batch)
    assert len(writer._wake_ups) == 5
    assert context.queue.state().settling == 20


def test_a_task_of_too_many_series_is_refused() -> None:
    changed = [["BTC-USD", "5m", B0, B0]]
    assert parsed(UpdateWork, {"changed": changed * 1_000})
    with pytest.raises(InvalidInput):
        parsed(UpdateWork, {"changed": changed * 1_001})


# --- in processes, and on disk


def test_every_cache_of_results_is_bounded() -> None:
    """`cache` keeps one result per argument permanently: use it for functions with few arguments or none."""
    few = {
        "app/storage/scripts.py:source",
        "app/delivery/chart.py:_font",
        "app/web/pages.py:with_imports",
        "app/exchange/registry.py:venue",
        "app/settings/names.py:fields",
    }
    found = set()
    for file in [*(ROOT / "app").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.args.args:
                names = {ast.unparse(d) for d in node.decorator_list}
                if names & {"cache", "functools.cache", "lru_cache(maxsize=None)"}:
                    found.add(f"{file.relative_to(ROOT)}:{node.name}")
    assert found == few


def test_logs_of_a_process_are_rotated(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    loud = f"{sys.executable} -c \"for _ in range(400): print('x' * 100_000)\""
    supervisor = Supervisor([{"loud": loud}], tmp_path, logs, os.environ)
    try:
        supervisor.start(["loud"])
        eventually(lambda: (logs / "loud.log.2").exists())
        assert sum(f.stat().st_size for f in logs.glob("loud.log*")) < 3 * 5.5e6
    finally:
        supervisor.stop()

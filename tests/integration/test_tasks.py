"""Tasks without workers: a few wait, the others are counted, and their work is found again."""

from __future__ import annotations

import orjson
import pytest
import redis

from app import tasks as tasks_module
from app.market.timeframes import BASE
from app.storage import keys
from app.storage.changed_ranges import ChangedRange
from app.tasks import MAX_WAITING_PERIODIC, SERIES_PER_TASK, Tasks
from tests.build import B0

pytestmark = pytest.mark.integration

CHANGED = ChangedRange("BTC-USD", BASE, B0, B0)
WAITING = "cw:2:celery:indicators"


def test_a_queue_without_workers_is_bounded_and_dropped_tasks_are_counted(
    tasks: Tasks, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_module, "MAX_WAITING", 3)
    for _ in range(5):
        tasks.update([CHANGED])
    assert redis_client.llen(WAITING) == 3
    assert redis_client.hgetall(keys.COUNTERS) == {b"tasks_dropped:indicators": b"2"}
    tasks.drain()
    assert redis_client.llen("cw:2:celery:backfill") == 1, "every queue has its own bound"
    redis_client.rpop(WAITING)
    tasks.update([CHANGED])
    assert redis_client.llen(WAITING) == 3
    assert redis_client.hget(keys.COUNTERS, "tasks_dropped:indicators") == b"2"


def test_a_few_periodic_tasks_wait_and_none_expires(tasks: Tasks, redis_client: redis.Redis) -> None:
    for _ in range(MAX_WAITING_PERIODIC + 5):
        tasks.drain()
        tasks.deliver()
    tasks.scan()
    waiting = {queue: redis_client.lrange(f"cw:2:celery:{queue}", 0, -1) for queue in ("backfill", "alerts")}
    assert {queue: len(messages) for queue, messages in waiting.items()} == {
        "backfill": MAX_WAITING_PERIODIC + 1,
        "alerts": MAX_WAITING_PERIODIC,
    }
    headers = [orjson.loads(message)["headers"] for messages in waiting.values() for message in messages]
    assert {(h["expires"], h["eta"]) for h in headers} == {(None, None)}, "a worker's clock may be wrong"
    assert not redis_client.exists(keys.COUNTERS), "nothing is lost"


def test_series_are_sent_in_batches(tasks: Tasks, redis_client: redis.Redis) -> None:
    tasks.update([CHANGED] * (2 * SERIES_PER_TASK + 1))
    assert redis_client.llen(WAITING) == 3


def test_sending_opens_no_further_connection(tasks: Tasks, redis_client: redis.Redis) -> None:
    def opened() -> int:
        return int(redis_client.info("stats")["total_connections_received"])

    redis_client.ping()
    before = opened()
    tasks.update([CHANGED])
    tasks.drain()
    assert opened() == before

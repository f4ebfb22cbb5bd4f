"""Two beats as real processes: one is enough, two do no harm, and neither adds to a backlog."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
import redis

from app.backfill.schedule import is_due
from app.tasks import MAX_WAITING_PERIODIC
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

pytestmark = pytest.mark.integration

BEAT = [sys.executable, "-m", "workers", "beat", "--schedule", os.devnull]


class Beats(NamedTuple):
    client: redis.Redis
    processes: list[Process]

    def waiting(self, queue: str) -> Counter[int]:
        """Tasks waiting in `queue`, by the process that sent them."""
        headers = [json.loads(raw)["headers"] for raw in self.client.lrange(f"cw:2:celery:{queue}", 0, -1)]
        return Counter(int(h["origin"].partition("@")[0].removeprefix("gen")) for h in headers)

    def take_all(self) -> None:
        self.client.delete(*(f"cw:2:celery:{queue}" for queue in ("backfill", "reconcile", "alerts")))


@pytest.fixture(scope="module")
def beats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beats]:
    folder = tmp_path_factory.mktemp("beats")
    with RedisServer(folder, free_port()) as server, redis.Redis.from_url(server.url) as client:
        client.rpush("cw:2:celery:alerts", *['{"headers": {"origin": "gen0@nobody"}}'] * MAX_WAITING_PERIODIC)
        made = [Process(BEAT, folder / f"beat{n}.log", env={"REDIS_URL": server.url}) for n in (1, 2)]
        yield Beats(client, made)
        for process in made:
            process.end()


def test_beats_add_nothing_to_a_backlog(beats: Beats) -> None:
    def both_send() -> bool:
        return beats.waiting("backfill").keys() == beats.waiting("reconcile").keys() == {p.pid for p in beats.processes}

    eventually(both_send)
    assert beats.waiting("alerts") == {0: MAX_WAITING_PERIODIC}


def test_when_one_beat_exits_the_other_continues(beats: Beats) -> None:
    first, second = beats.processes
    beats.take_all()
    eventually(lambda: len(beats.waiting("backfill")) == 2)
    first.send(signal.SIGKILL)
    first.wait()
    beats.take_all()
    eventually(lambda: all(beats.waiting(q) for q in ("backfill", "reconcile", "alerts")))
    assert beats.waiting("backfill").keys() == {second.pid}


def test_one_of_several_beats_acts_once_per_slot(redis_client: redis.Redis) -> None:
    assert not is_due(redis_client, "scan", "coinbase", 0, 300), "what begins now has its own start"
    count, together = 8, threading.Barrier(8)

    def act(period: int) -> bool:
        together.wait()
        return is_due(redis_client, "scan", "coinbase", period * 300 + 7, 300)

    with ThreadPoolExecutor(count) as threads:
        for period in range(1, 20):
            assert sum(threads.map(act, [period] * count)) == 1


def test_the_remaining_beat_acts_in_the_next_slot(redis_client: redis.Redis) -> None:
    with redis.Redis(connection_pool=redis_client.connection_pool) as other:
        is_due(redis_client, "scan", "coinbase", 0, 300)
        assert is_due(redis_client, "scan", "coinbase", 300, 300)
        assert not is_due(other, "scan", "coinbase", 599, 300)
        assert is_due(other, "scan", "coinbase", 600, 300)

"""Redis fails over behind a name, and the old master lives on as a replica: all go to the new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.cache.connection import connect
from app.launch.redis import RedisServer
from tests.faults.verdict import judge
from tests.faults.world import PROCESSES, world
from tests.replica import Pair, pair
from tests.support import eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=0.8)]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    (tmp_path / "first").mkdir()
    with RedisServer(tmp_path / "first", free_port()) as first, pair(tmp_path, first) as made:
        yield made


def test_a_connection_whose_server_has_become_a_replica_is_left(two: Pair) -> None:
    with connect(two.url) as client, Redis.from_url(two.second.url) as new:
        client.set("a", 1)
        eventually(lambda: new.get("a") == b"1")
        two.swap()
        assert client.get("a") == b"1", "reading goes on"
        client.set("b", 2)
        assert new.get("b") == b"2"


def test_everybody_goes_on_at_the_new_master(tmp_path: Path) -> None:
    with world(tmp_path, 4, 1, *PROCESSES, replica=True) as everything:
        system = everything.system
        eventually(lambda: system.has_started(4), timeout=40, interval=0.3)
        pids = {name: process.pid for name, process in system.processes.items()}
        system.wait_until(system.now_s() + 400)
        everything.fail_over()
        swapped_s = everything.exchange.now_s()
        with Redis.from_url(everything.server.url) as new:
            eventually(lambda: _told_s(new) > swapped_s, timeout=60, interval=0.2)
        verdict = judge(everything)
        alive = {name: process.pid for name, process in system.processes.items()}
    assert verdict.broken == []
    assert alive == pids, "nobody had to be started again"


def _told_s(client: Redis) -> float:
    """What the ingest last wrote of the exchange's clock."""
    return int(client.hget("cw:1:clock:coinbase", "exchange_ms") or 0) / 1000

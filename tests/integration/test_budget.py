"""The request budget, shared by real processes."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import redis

from app.storage.budget import Budget, Permit
from app.util.stop import Stop
from tests.faults.ledger import most_in_a_second
from tests.support import Process

pytestmark = pytest.mark.integration

CALLER = """
import random, sys, time
from redis import Redis
from app.storage.budget import Budget
client = Redis.from_url(sys.argv[1])
budget = Budget(client, "coinbase", float(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    permit = budget.acquire(timeout_s=600)
    time.sleep(random.choice([0, 0, 0, 0.05]))  # a request that is held up on its way
    print(time.monotonic(), flush=True)
    budget.release(permit, answered=True)
"""


STATE = "cw:2:budget:coinbase"
PERMITS = f"{STATE}:permits"


def now_us(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return seconds * 1_000_000 + micros


def in_use(client: redis.Redis, per_second: float) -> Budget:
    """A budget used a moment ago, so that tests need not wait for its first second."""
    client.hset(STATE, "seen_us", now_us(client))
    return Budget(client, "coinbase", per_second)


def test_four_processes_share_it_exactly_and_none_starves(redis_url: str, processes: object) -> None:
    rate, each = 20, 15
    command = [sys.executable, "-c", CALLER, redis_url, str(rate), str(each)]
    callers: list[Process] = [processes(command) for _ in range(4)]  # type: ignore[operator]
    for caller in callers:
        assert caller.wait() == 0, caller.output()
    times = sorted(float(line) for caller in callers for line in caller.output().split())
    assert len(times) == 4 * each
    assert most_in_a_second(times) <= rate


def test_a_429_pauses_all_processes_and_the_restart_is_slow(redis_client: redis.Redis) -> None:
    one, other = in_use(redis_client, 50), in_use(redis_client, 50)
    first = one.try_acquire()
    assert isinstance(first, Permit)
    one.release(first, answered=True)
    assert one.pause(retry_after_s=60) == pytest.approx(60)
    wait_s = other.try_acquire()
    assert isinstance(wait_s, float)
    assert 1 < wait_s <= 60
    assert other.acquire(timeout_s=0.05) is None
    redis_client.hset(STATE, "paused_until_us", 0)
    after = other.acquire()
    assert after is not None
    released_us = now_us(redis_client)
    other.release(after, answered=True)
    ((_, until_us),) = redis_client.zrange(PERMITS, -1, -1, withscores=True)
    assert until_us > released_us + 2.5e6, "the first permits after a pause count for longer"
    assert one.state().throttled == 1


def test_permits_are_counted(redis_client: redis.Redis) -> None:
    budget = in_use(redis_client, 50)
    assert all(budget.acquire() for _ in range(3))
    assert budget.state().granted == 3


def test_permits_keep_a_distance(redis_client: redis.Redis) -> None:
    budget = in_use(redis_client, 5)
    assert isinstance(budget.try_acquire(), Permit)
    next_us, granted_us = map(int, redis_client.hmget(STATE, "next_us", "seen_us"))
    assert next_us - granted_us == pytest.approx(160_800, abs=1), "four fifths of what an even distance would be"
    redis_client.hset(STATE, "next_us", now_us(redis_client) + 600_000_000)
    wait_s = budget.try_acquire()
    assert isinstance(wait_s, float)
    assert 1 < wait_s <= 600


def test_a_permit_counts_until_a_second_after_its_release(redis_client: redis.Redis) -> None:
    budget = in_use(redis_client, 1)
    permit = budget.try_acquire()
    assert isinstance(permit, Permit)
    assert budget.acquire(timeout_s=1.2) is None, "in use"
    given_back = time.monotonic()
    budget.release(permit, answered=True)
    assert budget.acquire() is not None
    assert time.monotonic() - given_back >= 1.0


def test_a_permit_that_was_not_used_costs_nothing(redis_client: redis.Redis) -> None:
    budget = in_use(redis_client, 1)
    permit = budget.try_acquire()
    assert isinstance(permit, Permit)
    budget.cancel(permit)
    budget.release(permit, answered=False)
    assert isinstance(budget.try_acquire(), Permit)


def test_the_permit_of_a_dead_process_expires(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.budget.HELD_S", 0.1)
    budget = in_use(redis_client, 1)
    assert isinstance(budget.try_acquire(), Permit)
    assert budget.acquire() is not None


def test_pauses_grow_until_a_response_arrives(redis_client: redis.Redis) -> None:
    budget = in_use(redis_client, 50)

    def pause_after_the_last() -> float:
        redis_client.hset(STATE, "paused_until_us", 0)
        return budget.pause()

    pauses = [pause_after_the_last() for _ in range(4)]
    assert all(0.5 * 2**i <= pause <= 2**i + 0.01 for i, pause in enumerate(pauses)), pauses
    redis_client.hset(STATE, "paused_until_us", 0)
    permit = budget.try_acquire()
    assert isinstance(permit, Permit)
    budget.release(permit, answered=True)
    assert pause_after_the_last() <= 1.01


def test_several_429s_of_one_moment_count_once(redis_client: redis.Redis) -> None:
    budget = in_use(redis_client, 50)
    budget.pause(retry_after_s=600)
    assert all(budget.pause() <= 600 for _ in range(4))
    redis_client.hset(STATE, "paused_until_us", 0)
    assert 1 <= budget.pause() <= 2.01, "the second pause"


def test_a_retry_after_of_a_year_is_not_trusted(redis_client: redis.Redis) -> None:
    assert Budget(redis_client, "coinbase", 5).pause(retry_after_s=3e7) <= 300


def test_waiting_ends_at_stop(redis_client: redis.Redis) -> None:
    budget, stop = Budget(redis_client, "coinbase", 5), Stop()
    budget.pause(retry_after_s=60)
    threading.Timer(0.05, stop.set).start()
    assert budget.acquire(timeout_s=120, stop=stop) is None


@pytest.mark.parametrize("moved_s", [-7200.0, 7200.0], ids=["back", "on"])
def test_a_clock_that_was_set_neither_stops_the_budget_nor_breaks_it(redis_client: redis.Redis, moved_s: float) -> None:
    budget = in_use(redis_client, 5)
    held = [budget.acquire() for _ in range(5)]
    assert all(held)
    budget.pause(retry_after_s=0.1)
    # As if the server's clock had just been set by `moved_s`.
    for permit, until_us in redis_client.zrange(PERMITS, 0, -1, withscores=True):
        redis_client.zadd(PERMITS, {permit: until_us - moved_s * 1e6})
    for name in ("seen_us", "next_us", "paused_until_us"):
        redis_client.hset(STATE, name, int(now_us(redis_client) - moved_s * 1e6))
    began = time.monotonic()
    assert budget.acquire() is not None
    assert time.monotonic() - began >= 1.0


def test_an_unknown_budget_waits_a_second_first(redis_client: redis.Redis) -> None:
    budget = in_use(redis_client, 5)
    assert isinstance(budget.try_acquire(), Permit)
    redis_client.flushall()
    began = time.monotonic()
    assert budget.acquire() is not None
    assert time.monotonic() - began >= 1.0

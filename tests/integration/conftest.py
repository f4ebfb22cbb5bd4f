"""Fixtures that start the whole system."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
import redis

from app.storage.deliveries import Deliveries
from app.storage.indicators import IndicatorCache
from app.tasks import Tasks
from tests.oracle import Exchange
from tests.support import Process, eventually, free_port
from tests.system import System


@pytest.fixture
def tasks(redis_client: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Sends to workers through the test's Redis."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delitem(sys.modules, "celeryconfig", raising=False)  # it may have another URL
    return Tasks(redis_client, "coinbase")


@pytest.fixture
def indicators(redis_client: redis.Redis) -> IndicatorCache:
    return IndicatorCache(redis_client, events_kept=1000)


@pytest.fixture
def deliveries(redis_client: redis.Redis) -> Deliveries:
    return Deliveries(redis_client)


@pytest.fixture
def start_exchange(processes: Callable[..., Process]) -> Callable[..., Exchange]:
    """Starts a local exchange at 60 times real time, optionally with more command-line options."""

    def start(*options: str) -> Exchange:
        port = free_port()
        command = [sys.executable, "-m", "simulator", "--port", str(port), "--speed", "60", *options]
        processes(command)
        exchange = Exchange(port)
        eventually(exchange.now_s)
        return exchange

    return start


@pytest.fixture
def start_system(processes: Callable[..., Process], redis_url: str) -> Iterator[Callable[..., System]]:
    """Starts every process of an installation against an exchange."""
    systems: list[System] = []

    def start(exchange: Exchange, **env: str) -> System:
        urls = {"CANDLEWICK_COINBASE__WS_URL": exchange.ws_url, "CANDLEWICK_COINBASE__REST_URL": exchange.rest_url}
        system = System(processes, redis_url, {**urls, **env})
        systems.append(system)
        system.start_all()
        return system

    yield start
    for system in systems:
        system.context.redis.close()

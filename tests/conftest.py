"""Fixtures that every test may use: a real Redis and real processes."""

from __future__ import annotations

import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
import redis
from hypothesis import Phase, settings

from tests.faults.world import World
from tests.redis_server import RedisServer
from tests.support import Process, free_port

MUTANTS = (Phase.explicit, Phase.generate)
"""Mutants need only a failing example: no shrinking."""

gc.disable()  # until all is imported: collections would free nothing and take a fifth of the time
settings.register_profile("tests", deadline=None)  # durations are measured in benchmarks
settings.load_profile("tests")
settings.register_profile("fuzz", max_examples=1_000, deadline=None)
settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=MUTANTS)

for _name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):  # tests connect to this machine only
    for _spelled in (_name, _name.upper()):
        os.environ.pop(_spelled, None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: every program under test would inherit that, and ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_installations(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commands of the tests find no installation of the user, and the user's commands find none of the tests."""
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for the whole run. Use `redis_url` or `redis_client`: they empty it first."""
    with RedisServer(tmp_path_factory.mktemp("redis"), free_port()) as server:
        yield server


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of an empty database; responses are bytes."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def redis_url(redis_client: redis.Redis, redis_server: RedisServer) -> str:
    """The URL of an empty database."""
    assert redis_client.dbsize() == 0
    return redis_server.url


@pytest.fixture
def processes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Process]]:
    """Starts real processes: `processes([command, …], env={…})`. All of them are ended after the test.

    If the test fails, the end of each output is added to its report.
    """
    folder = tmp_path_factory.mktemp("processes")
    started: list[Process] = []
    number = count(1)

    def start(command: list[str], **options: object) -> Process:
        process = Process(command, folder / f"{next(number)}.log", **options)  # type: ignore[arg-type]
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()
    if getattr(request.node, "failed", False):
        for process in started:
            print(f"--- {' '.join(process.command)} (exit {process.returncode})\n{process.output()[-3000:]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Marks the test as failed for the fixtures; adds the logs of shared processes to its report."""
    report = yield
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
        if report.failed:
            worlds = [value for value in item.funcargs.values() if isinstance(value, World)]  # type: ignore[attr-defined]
            report.sections += [("processes", everything.system.logs()) for everything in worlds]
    return report


WAITING = 5
"""Tests in parallel per core: they mostly wait for a condition."""


def pytest_xdist_auto_num_workers() -> int:
    """The number of processes that run tests."""
    return WAITING * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that none runs alone at the end.

    A short file follows one of one or two tests: a process receives its next file at the last two tests of one.
    """
    by_file: dict[Path, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.path, []).append(item)
    waiting = deque(sorted(by_file.values(), key=_minutes, reverse=True))
    items.clear()
    while waiting:
        some = waiting.popleft()
        while len(some) <= 2 and waiting:
            some = some + waiting.pop()
        items += some


def _minutes(file: list[pytest.Item]) -> float:
    mark = file[0].get_closest_marker("long")
    return float(mark.kwargs["minutes"]) if mark else 0.0


def pytest_collection_finish() -> None:
    """Freeze the imported objects: otherwise every full garbage collection scans them."""
    gc.freeze()
    gc.enable()

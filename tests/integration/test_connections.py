"""Connections to Redis of an installation, as counted by a server that allows few."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from app.cli import main
from app.errors import InvalidInput, Unready
from app.launch.redis import command_line, find_server, wait_ready
from app.query.status import read_status
from app.storage.connection import connect
from tests.oracle import Exchange
from tests.support import Process, eventually, free_port
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.2)]

AT_MOST = {
    "ingest": 2,
    "indicators": 7,  # with two children
    "backfill": 6,
    "alerts": 6,
    "beat": 4,
    "web": 4,
    "watchdog": 1,
    "flower": 6,
}
"""The table of docs/operations.md."""

ONE_WORKER = (
    "python -m workers worker -n all@%h -Q indicators,backfill,reconcile,alerts -P threads -c 4"
    " --without-gossip --without-mingle"
)
FEW = {"ingest": 2, "all": 5, "beat": 4, "web": 3, "watchdog": 1}
"""The same if one worker does everything, with CANDLEWICK_REDIS_CONNECTIONS=3."""


def few_clients(start: Callable[..., Process], folder: Path, most: int) -> str:
    """The URL of a server that accepts `most` connections."""
    port = free_port()
    start([*command_line(find_server(os.environ), port, folder), "--maxclients", str(most)])
    url = f"redis://127.0.0.1:{port}/0"
    wait_ready(url)
    return url


@pytest.fixture
def system(
    processes: Callable[..., Process], start_exchange: Callable[..., Exchange], tmp_path: Path
) -> Iterator[Callable[..., System]]:
    made: list[System] = []

    def start(most: int, **env: str) -> System:
        exchange = start_exchange()
        urls = {"CANDLEWICK_COINBASE__WS_URL": exchange.ws_url, "CANDLEWICK_COINBASE__REST_URL": exchange.rest_url}
        ports = {"CANDLEWICK_WEB_PORT": str(free_port()), "CANDLEWICK_FLOWER_PORT": str(free_port())}
        made.append(System(processes, few_clients(processes, tmp_path, most), {**urls, **ports, **env}))
        return made[0]

    yield start
    for one in made:
        one.context.redis.close()


def by_process(clients: list[dict[str, str]]) -> Counter[str]:
    return Counter(process_of(row) for row in clients if row["name"] != "me")


def process_of(row: dict[str, str]) -> str:
    return str(row["name"]).removeprefix("candlewick-")


def hold(system: System, at_most: dict[str, int], most: int) -> None:
    """Until the installation is ready, and a while longer: never more than `at_most` connections, and none refused."""
    ready = Counter[str]()
    with redis.Redis.from_url(system.env["REDIS_URL"], client_name="me") as client:

        def stays_within() -> bool:
            clients = client.client_list()
            seen = by_process(clients)
            seen.pop("", None)  # a new connection without its name yet
            over = {name: count for name, count in seen.items() if count > at_most.get(name, 1)}
            if over:
                which = [
                    {what: row[what] for what in ("name", "age", "idle", "flags", "cmd")}
                    for row in clients
                    if process_of(row) in over
                ]
                pytest.fail(f"more connections than documented: {over} of {at_most}: {which}")
            ready["looks"] += read_status(system.context, system.context.settings).ready
            return set(seen) >= set(at_most) and ready["looks"] > 20

        eventually(stays_within, interval=0.1)
        assert client.info("stats")["rejected_connections"] == 0
        assert client.config_get("maxclients")["maxclients"] == str(most)


def test_the_default_installation_needs_forty(system: Callable[..., System]) -> None:
    whole = system(40, CANDLEWICK_INDICATOR_PROCESSES="2")
    whole.start(*AT_MOST)
    hold(whole, AT_MOST, 40)
    assert sum(AT_MOST.values()) + 3 < 40, "one of ours, one command line, one launcher"


def test_one_worker_for_everything_needs_twenty(
    system: Callable[..., System], processes: Callable[..., Process]
) -> None:
    whole = system(20, CANDLEWICK_REDIS_CONNECTIONS="3")
    whole.start("ingest", "beat", "web", "watchdog")
    processes(["sh", "-c", f"exec {ONE_WORKER}"], env=whole.env)
    hold(whole, FEW, 20)


SENTENCE = "Redis accepts no more connections (maxclients is reached): stop other programs"


def test_a_server_that_is_full_is_named_at_the_start_and_by_commands(
    processes: Callable[..., Process],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = few_clients(processes, tmp_path, 2)
    with redis.Redis.from_url(url) as first, redis.Redis.from_url(url) as second:
        eventually(lambda: first.ping() and second.ping())
        with pytest.raises(
            Unready, match=r"does not answer: Redis accepts no more connections .* lower CANDLEWICK_REDIS_CONNECTIONS"
        ):
            wait_ready(url, seconds=0.1)
        monkeypatch.setenv("REDIS_URL", url)
        assert main(["products"]) == 3
        assert SENTENCE in capsys.readouterr().err
    eventually(lambda: wait_ready(url) is None)


def test_a_missing_database_is_named_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beyond = redis_url.replace("/0", "/99")
    sentence = "REDIS_URL names database 99, but the server has fewer: use a lower number"
    with pytest.raises(InvalidInput, match=sentence):
        wait_ready(beyond)
    monkeypatch.setenv("REDIS_URL", beyond)
    assert main(["products"]) == 3
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_calls_wait_for_a_connection_instead_of_opening_more(redis_url: str) -> None:
    with connect(redis_url, connections=2) as client, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: client.ping(), range(200))) == [True] * 200
        assert len(client.connection_pool._connections) <= 2

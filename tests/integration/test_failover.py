"""Redis fails over behind a name, and the old master becomes a replica: all clients move to the new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.cli import NOT_READY, main
from app.context import Context
from app.errors import Unready
from app.launch.market_lock import claim
from app.market.timeframes import Timeframe
from app.query.lookup import Lookup
from app.query.status import read_status
from app.storage.connection import connect
from tests import filled, plain
from tests.faults.verdict import judge
from tests.faults.world import PROCESSES, world
from tests.redis_server import RedisServer
from tests.replica import Pair, pair
from tests.serving import serving
from tests.support import eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=0.8)]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    (tmp_path / "first").mkdir()
    with RedisServer(tmp_path / "first", free_port()) as first, pair(tmp_path, first) as made:
        yield made


def test_a_connection_to_a_new_replica_is_closed(two: Pair) -> None:
    with connect(two.url) as client, Redis.from_url(two.second.url) as new:
        client.set("a", 1)
        eventually(lambda: new.get("a") == b"1")
        two.swap()
        assert client.get("a") == b"1", "reading goes on"
        client.set("b", 2)
        assert new.get("b") == b"2"


def test_data_read_from_a_replica_are_reported_as_behind(
    two: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = two.second.url
    with connect(two.first.url) as master, connect(url) as replica:
        filled.fill(Context(filled.settings(two.first.url), master))
        context = Context(filled.settings(url), replica)
        lookup = Lookup(context, context.settings.timeframes)
        eventually(lambda: replica.exists("cw:2:products:coinbase") and len(lookup.products()["products"]) == 4)
        eventually(lambda: len(lookup.candles("BTC-USD", Timeframe.M5)["candles"]) > 100)
        behind = "this Redis is a replica, which may be behind its master and takes no writes"
        assert behind in read_status(context, context.settings).summary
        monkeypatch.setenv("REDIS_URL", url)
        assert main(["status"]) == NOT_READY
        assert behind in " ".join(capsys.readouterr().out.split())
        with serving(context) as (web_url, _), plain.Client(base_url=web_url) as web:
            readiness = web.get("/readyz")
            assert (readiness.status_code, behind in readiness.text) == (503, True)
            assert behind in web.get("/v1/status").json()["summary"]
            with serving(Context(context.settings, master)) as (at_master, _):
                assert "stale" not in plain.get(f"{at_master}/v1/candles/BTC-USD").json()
            for path in ("candles/BTC-USD", "candles/BTC-USD?limit=600", "indicators/BTC-USD", "products"):
                answer = web.get(f"/v1/{path}")
                assert (answer.status_code, answer.json()["stale"]) == (
                    200,
                    behind.removesuffix(" and takes no writes"),
                )
        with pytest.raises(Unready, match="cannot be written to: the server has become a replica"):
            claim(url, "anything")
        two.first.stop()
        eventually(lambda: "has lost its master, and is behind it" in read_status(context, context.settings).summary)
        assert lookup.candles("BTC-USD", Timeframe.M5)["candles"], "reading goes on"


def test_all_processes_continue_at_the_new_master(tmp_path: Path) -> None:
    with world(tmp_path, 4, 1, *PROCESSES, replica=True) as everything:
        system = everything.system
        eventually(lambda: system.has_started(4), interval=0.3)
        pids = {name: process.pid for name, process in system.processes.items()}
        system.wait_until(system.now_s() + 400)
        everything.fail_over()
        swapped_s = everything.exchange.now_s()
        with Redis.from_url(everything.server.url) as new:
            eventually(lambda: _written_clock_s(new) > swapped_s, interval=0.2)
        verdict = judge(everything)
        pids_now = {name: process.pid for name, process in system.processes.items()}
    assert verdict.broken == []
    assert pids_now == pids, "nobody had to be started again"


def _written_clock_s(client: Redis) -> float:
    """The exchange's time that the ingest wrote last."""
    return int(client.hget("cw:2:clock:coinbase", "exchange_ms") or 0) / 1000

"""Redis fails over under real Sentinels: everything continues, and afterwards everything is the truth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from app.launch.redis import find_server
from tests.faults.verdict import judge
from tests.faults.world import PROCESSES, world
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.0)]

SERVICE = "candles"
CONFIGURATION = """\
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} 1500
sentinel failover-timeout {service} 6000
"""


@contextmanager
def sentinels(folder: Path, master: RedisServer) -> Iterator[str]:
    """A replica of `master` and three Sentinels that watch both; yields the URL for clients."""
    with ExitStack() as stack:
        (folder / "replica").mkdir()
        replica = stack.enter_context(RedisServer(folder / "replica", free_port()))
        port_of_master = int(master.url.rpartition(":")[2].partition("/")[0])
        with Redis.from_url(replica.url) as client:
            client.replicaof("127.0.0.1", port_of_master)
            eventually(lambda: client.info("replication")["master_link_status"] == "up")
        ports = [free_port() for _ in range(3)]
        for port in ports:
            home = folder / f"sentinel-{port}"
            home.mkdir()
            text = CONFIGURATION.format(port=port, folder=home, service=SERVICE, master=port_of_master)
            (home / "sentinel.conf").write_text(text)
            server = str(find_server(os.environ))
            process = Process([server, str(home / "sentinel.conf"), "--sentinel"], home / "log")
            stack.callback(process.end)
        for port in ports:
            with Redis(port=port) as client:
                eventually(lambda client=client: _knows_others(client))
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        yield f"redis+sentinel://{hosts}/{SERVICE}/0"


def _knows_others(client: Redis) -> bool:
    master = client.sentinel_master(SERVICE)
    return bool(master["num-other-sentinels"] == 2 and master["num-slaves"] == 1)


def test_a_fail_over_loses_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    with world(tmp_path, 4, 1, *PROCESSES, behind=lambda master: sentinels(tmp_path, master)) as everything:
        system = everything.system
        eventually(lambda: system.has_started(4), interval=0.3)
        system.wait_until(system.now_s() + 400)
        everything.server.kill()
        gone_s = everything.exchange.now_s()
        eventually(lambda: system.now_s() > gone_s, interval=0.3)
        verdict = judge(everything)
    assert verdict.broken == []
    print(f"true {verdict.to_truth_s:.1f} s after the fail-over")

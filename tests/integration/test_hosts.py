"""Workers, feeds and beats on two hosts, as network namespaces: one is cut off, and comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.launch.redis import find_server, wait_ready
from tests.faults.ledger import busiest_second, refused
from tests.oracle import Exchange, assert_true
from tests.support import Process, eventually, free_port, network_of_machine
from tests.system import System

pytestmark = [
    pytest.mark.integration,
    pytest.mark.whole_system,
    pytest.mark.long(minutes=0.45),  # less than it takes: it starts when the browser tests, which it waits for, end
]

HOSTS = ("a", "b")
ON_EACH = ("ingest", "indicators", "backfill", "alerts", "beat")
PRODUCTS = 4


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def can_make_hosts() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    probe = f"cwprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], check=False, capture_output=True).returncode == 0
    if made:
        ip("netns", "del", probe)
    return made


class Network:
    """A bridge of this machine with two hosts. `address` is the bridge's own, the hosts are .11 and .12."""

    def __init__(self) -> None:
        self.net = f"10.77.{os.getpid() % 250}"
        self.address = f"{self.net}.1"
        self._bridge = f"cwbr{os.getpid()}"[:15]

    def namespace(self, host: str) -> str:
        return f"cw-{os.getpid()}-{host}"

    def _link(self, host: str) -> str:
        return f"cw{os.getpid()}{host}"[:15]

    def make(self) -> None:
        ip("link", "add", self._bridge, "type", "bridge")
        ip("addr", "add", f"{self.address}/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")
        for number, host in enumerate(HOSTS, start=11):
            space, link = self.namespace(host), self._link(host)
            ip("netns", "add", space)
            ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", link, "master", self._bridge, "up")
            ip("-n", space, "addr", "add", f"{self.net}.{number}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def cut(self, host: str) -> None:
        ip("link", "set", self._link(host), "down")

    def heal(self, host: str) -> None:
        ip("link", "set", self._link(host), "up")

    def remove(self) -> None:
        for host in HOSTS:  # the links first: those of a namespace disappear some time after it
            subprocess.run(["ip", "link", "del", self._link(host)], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", self.namespace(host)], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)


@contextmanager
def network() -> Iterator[Network]:
    made = Network()
    with network_of_machine(changes=True):
        try:
            made.make()
            yield made
        finally:
            made.remove()


class Spread(System):
    """A system whose processes run on hosts: `ingest1` on the first, `ingest2` on the second."""

    def __init__(
        self, start: Callable[..., Process], redis_url: str, env: Mapping[str, str], namespaces: list[str]
    ) -> None:
        super().__init__(start, redis_url, env)
        self._namespaces = namespaces

    def command(self, name: str) -> list[str]:
        """The command that starts it on its host."""
        space = self._namespaces[int(name[-1]) - 1]
        return ["ip", "netns", "exec", space, *super().command(name)]


@pytest.mark.skipif(not can_make_hosts(), reason="network namespaces cannot be made here: it takes root and iproute2")
def test_a_host_that_is_cut_off_and_comes_back_harms_nothing(processes: Callable[..., Process], tmp_path: Path) -> None:
    with network() as net, ExitStack() as stack:
        port = free_port()
        options = ["--bind", net.address, "--port", str(port), "--protected-mode", "no", "--save", "", "--dir"]
        redis = Process([str(find_server(os.environ)), *options, str(tmp_path)], tmp_path / "redis.log")
        stack.callback(redis.end)
        url = f"redis://{net.address}:{port}/0"
        wait_ready(url)
        exchange = Exchange(free_port(), net.address)
        market = ["--start", "2021-03-04T00:00:00Z", "--speed", "60", "--products", str(PRODUCTS)]
        listens = ["--host", net.address, "--port", str(exchange.port)]
        processes([sys.executable, "-m", "simulator", *listens, *market])
        eventually(exchange.now_s)
        urls = {"CANDLEWICK_COINBASE__WS_URL": exchange.ws_url, "CANDLEWICK_COINBASE__REST_URL": exchange.rest_url}
        system = Spread(
            processes, url, {**urls, "CANDLEWICK_COINBASE__PRODUCTS": "all:USD"}, [net.namespace(h) for h in HOSTS]
        )
        stack.callback(system.context.redis.close)
        system.start(*(f"{name}{number}" for number in (1, 2) for name in ON_EACH))
        eventually(lambda: system.has_started(PRODUCTS), interval=0.3)

        for cut in HOSTS:  # one after the other: each must work without the other
            net.cut(cut)
            gone_s = exchange.now_s()
            eventually(lambda gone_s=gone_s: exchange.now_s() > gone_s + 600, interval=0.2)
            eventually(lambda gone_s=gone_s: system.now_s() > gone_s + 600, interval=0.2)  # the other host goes on
            net.heal(cut)
            assert_true(system, exchange)
        ledger = exchange.get("/local/ledger")
        assert refused(ledger)[0] == 0
        assert busiest_second(ledger) <= 5
        assert {r["address"] for r in ledger["requests"]} >= {f"{net.net}.11", f"{net.net}.12"}, "both hosts asked"

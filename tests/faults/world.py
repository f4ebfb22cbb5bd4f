"""The whole system as real processes, and the handles by which faults act on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
from redis import Redis

from app.errors import Unready
from tests.alerting import Service, service
from tests.alerts_reference import RULES
from tests.oracle import Exchange, followed
from tests.redis_server import RedisServer
from tests.replica import Pair, pair
from tests.support import PATIENCE_S, ROOT, Process, eventually, free_port, silent
from tests.system import System

SPEED = 60
START = "2021-03-04T00:00:00Z"
FLOW = ("ingest", "indicators", "backfill", "alerts", "beat")
"""The processes from the exchange's candles to alerts."""

PROCESSES = (*FLOW, "web")

RESTART_EVERY_S = 0.5
"""Restart delay of the supervisor in a real installation."""

MAX_STOP_S = 160.0
"""Real seconds after a signal; a process that has not stopped by then is killed."""

UNLISTED = ("RARI-USD", "TIA-USD")
"""Products that the local exchange can list later; the last one has many trades."""

CHANNEL = """
[alerts.channel.hook]
kind = "webhook"
url_env = "HOOK"
allow_private = true
"""
EXCHANGE_HOST = "exchange.test"
SILENT, REFUSING, ANSWERING = "127.0.0.2", "127.0.0.3", "127.0.0.1"
"""Addresses that the exchange's name may have."""

AFTER_S = 5.0
"""Real seconds around a loss in which the record of a delivery may be lost too."""

HOST_PRELUDE = str(Path(__file__).parent / "host")

LIBRARIES = ("usr/lib/*/faketime/libfaketime.so.1", "usr/local/lib/faketime/libfaketime.so.1")


class World:
    """One installation, its exchange, and a receiver of its alerts. `folder` holds data and logs."""

    def __init__(self, folder: Path, exchange: Exchange, venue: Process, server: RedisServer, hook: Service) -> None:
        self.folder = folder
        self.exchange = exchange
        self.venue = venue
        self.server = server
        self.hook = hook
        self.system: System
        self.pair: Pair | None = None
        """The two Redis servers, if there are two."""
        self.supervision = threading.Lock()
        """Hold it to start or end processes."""
        self.unlisted = list(UNLISTED)
        """Products that the exchange can still list."""
        self.furthest_s = 0.0
        """The latest exchange time that was later undone."""
        self.watched_from_s: dict[str, float] = {}
        """By product: the exchange time from which its series were complete. Cleared when Redis loses data."""

        self.losses: list[tuple[float, float]] = []
        """Times (monotonic) of lost delivery records: such messages may arrive again."""

    def process(self, name: str) -> psutil.Process | None:
        """The process that runs `name` now, or None."""
        try:
            return psutil.Process(self.system.processes[name].pid)
        except psutil.NoSuchProcess:
            return None

    def child(self, name: str) -> psutil.Process | None:
        """The newest child of `name`, or None."""
        try:
            parent = self.process(name)
            return max(parent.children(), key=lambda p: p.create_time(), default=None) if parent else None
        except psutil.NoSuchProcess:
            return None

    def redis_process(self) -> psutil.Process | None:
        """The process of Redis, or None while it is down."""
        try:
            return psutil.Process(self.server.pid)
        except (Unready, psutil.NoSuchProcess):
            return None

    def start_redis(self) -> None:
        """Start Redis unless it runs."""
        if self.redis_process() is None:
            self.server.start()

    def send(self, process: psutil.Process | None, signum: int) -> None:
        """Send a signal, unless the process has gone already."""
        with suppress(psutil.NoSuchProcess):
            if process is not None:
                process.send_signal(signum)

    def send_all(self, signum: int) -> None:
        """Send a signal to every process of the installation except Redis."""
        for name in list(self.system.processes):
            self.send(self.process(name), signum)

    @contextmanager
    def down(self, signum: int, *, redis: bool = False) -> Iterator[None]:
        """End everything by `signum` for the block; `redis`: the server too. Files stay."""
        with self.supervision:
            for process in self.system.processes.values():
                process.send(signal.SIGCONT)
                process.send(signum)
            for process in self.system.processes.values():
                with suppress(AssertionError):
                    process.wait(MAX_STOP_S)
                process.end()  # its children too
            if redis:
                self.server.kill()
            yield
            self.start_redis()

    def run(self, *arguments: str) -> int:
        """Run a command of the installation, such as `reconcile now`; returns its exit code."""
        command = [sys.executable, "-m", "app", *arguments]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **self.system.env}, check=False).returncode

    def follow_listing(self) -> None:
        """Restart the ingests if the exchange has listed products: they read the listing only at their start."""
        if len(self.unlisted) < len(UNLISTED):
            for name in self.system.processes:
                if name.startswith("ingest"):
                    self.send(self.process(name), signal.SIGTERM)

    def has_started(self) -> None:
        """Record that every series is complete: from now on no bar is history."""
        self.watched_from_s = dict.fromkeys(followed(self.system, self.exchange), self.exchange.now_s())

    def forget(self) -> None:
        """Kill Redis and restart it without its file."""
        self.watched_from_s = {}
        self.server.kill()
        shutil.rmtree(self.redis_folder / "appendonlydir", ignore_errors=True)
        self.start_redis()
        self.losses.append((0.0, time.monotonic() + AFTER_S))

    @property
    def redis_folder(self) -> Path:
        """The data folder of the current master."""
        return self.server.log.parent

    def file_sizes(self) -> dict[Path, int]:
        """The parts of the append-only file and their sizes."""
        return {file: file.stat().st_size for file in self.redis_folder.rglob("*.incr.aof")}

    def fail_over(self) -> None:
        """Make the replica of Redis the master; the old master becomes its replica."""
        assert self.pair is not None
        self.pair.swap()
        self.server = self.pair.first
        with Redis.from_url(self.server.url) as client:
            client.config_set("maxmemory", "1gb")  # another fault may have lowered it

    def set_clock(self, hours: float, *names: str) -> None:
        """Set the clocks of the hosts of `names` (without names: all except the exchange's), relative to the true time.
        Each process has a host of its own.
        """
        for file in map(self.clock_file, names) if names else self.folder.glob("clock*"):
            file.write_text(f"{hours:+.6f}h\n")

    def clock_file(self, name: str) -> Path:
        """The file that sets the clock of the host of process `name`."""
        return self.folder / f"clock-{name}"

    def set_addresses(self, *addresses: str) -> None:
        """Set the addresses of the exchange's name, in order."""
        (self.folder / "names").write_text(f"{EXCHANGE_HOST} {' '.join(addresses)}\n")


@contextmanager
def world(
    folder: Path,
    products: int,
    seed: int,
    *names: str,
    start_at: str = START,
    speed: int = SPEED,
    faked_clock: bool = False,
    behind: Callable[[RedisServer], AbstractContextManager[str]] | None = None,
    shares: int = 1,
    replica: bool = False,
    addresses: bool = False,
    **env: str,
) -> Iterator[World]:
    """Run the processes `names`, restarted if they exit, until the end of the block.

    `behind`: returns another URL of Redis for the block. `shares`: `ingest` and `ingest2` take that part of the
    products each, as long as there are as many of them. `replica`: Redis has one, both behind one name. `addresses`:
    the exchange has a host name whose addresses can be set.
    """
    (folder / "redis").mkdir(parents=True, exist_ok=True)
    (folder / "candlewick.toml").write_text(RULES + CHANNEL)
    started: list[Process] = []

    def start(command: list[str], env: dict[str, str] | None = None) -> Process:
        process = Process(command, folder / f"{len(started):03}.log", env=env)
        started.append(process)
        return process

    with ExitStack() as stack:
        exchange = Exchange(free_port())
        market = ["--start", start_at, "--speed", str(speed), "--seed", str(seed), "--products", str(products)]
        stack.callback(_end, started)
        venue = start([sys.executable, "-m", "simulator", "--port", str(exchange.port), *market])
        eventually(exchange.now_s)
        hook = stack.enter_context(service())
        clock = stack.enter_context(_clock_from(folder / "clock")) if faked_clock else {}
        server = stack.enter_context(RedisServer(folder / "redis", free_port()))
        everything = World(folder, exchange, venue, server, hook)
        urls = {"CANDLEWICK_COINBASE__WS_URL": exchange.ws_url, "CANDLEWICK_COINBASE__REST_URL": exchange.rest_url}
        if addresses:
            stack.enter_context(silent(SILENT, exchange.port))
            everything.set_addresses(ANSWERING)
            urls = {name: url.replace(ANSWERING, EXCHANGE_HOST) for name, url in urls.items()}
            urls |= {"PYTHONPATH": HOST_PRELUDE, "FAKE_NAMES": str(folder / "names")}
        alerts = {"CANDLEWICK_CONFIG": str(folder / "candlewick.toml"), "HOOK": hook.url}
        more = {
            "CANDLEWICK_COINBASE__PRODUCTS": "all:USD",
            "CANDLEWICK_WEB_PORT": str(free_port()),
            **urls,
            **alerts,
            **clock,
            **env,
        }
        url = stack.enter_context(behind(server)) if behind else server.url
        if replica:
            everything.pair = stack.enter_context(pair(folder, server))
            url = everything.pair.url
        of_process = partial(_own_clock, everything) if faked_clock else _nothing
        everything.system = System(start, url, more, shares=shares, of_process=of_process)
        stack.callback(everything.system.context.redis.close)
        stack.enter_context(_supervised(everything, names))
        yield everything


@contextmanager
def started_world(folder: Path, products: int, **env: str) -> Iterator[World]:
    """A `World` of `FLOW` with complete series, shared by many tests. Each test must leave it as it was."""
    with world(folder, products, 7, *FLOW, **env) as everything:
        eventually(lambda: everything.system.has_started(products), interval=0.2)
        yield everything


def _own_clock(everything: World, name: str) -> dict[str, str]:
    file = everything.clock_file(name)
    if not file.exists():
        file.write_text((everything.folder / "clock").read_text())
    return {"FAKE_CLOCK": str(file)}


def _nothing(_: str) -> dict[str, str]:
    return {}


def _end(started: list[Process]) -> None:
    for process in started:
        process.end()


@contextmanager
def _clock_from(file: Path) -> Iterator[dict[str, str]]:
    """Environment of processes whose wall clock is in `file`; Redis, started from here, has it too.

    Redis needs a library for it (Debian: faketime); without it, Redis keeps the true time. Monotonic clocks stay true.
    """
    file.write_text("+0h\n")
    library = next((path for pattern in LIBRARIES for path in sorted(Path("/").glob(pattern))), None)
    of_redis = {
        "LD_PRELOAD": str(library or ""),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    os.environ.update(of_redis)
    try:
        yield {"LD_PRELOAD": "", "PYTHONPATH": HOST_PRELUDE, "FAKE_CLOCK": str(file)}
    finally:
        for name in of_redis:
            del os.environ[name]


@contextmanager
def _supervised(everything: World, names: tuple[str, ...]) -> Iterator[None]:
    """Start `names` and restart those that exit. Their parent is one thread, which runs until the end."""
    system, ended, up = everything.system, threading.Event(), threading.Event()

    def supervise() -> None:
        system.start(*names)
        up.set()
        while not ended.wait(RESTART_EVERY_S):
            with everything.supervision:
                system.start(*(n for n in names if system.processes[n].returncode is not None))

    thread = threading.Thread(target=supervise, name="supervisor", daemon=True)
    thread.start()
    try:
        assert up.wait(PATIENCE_S), "the processes were not started"
        yield
    finally:
        ended.set()
        thread.join()


Waits = Iterator[float]
"""A running fault: real seconds to wait until its next step. It is healed at the end."""


def frozen(world: World, process: psutil.Process | None, seconds: float) -> Waits:
    """Stop a process for a while."""
    world.send(process, signal.SIGSTOP)
    yield seconds
    world.send(process, signal.SIGCONT)

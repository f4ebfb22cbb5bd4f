"""The whole system as real processes, and the handles by which faults get at it."""

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
from app.launch.redis import RedisServer
from tests.alerting import Service, service
from tests.alerts_reference import RULES
from tests.oracle import Exchange, followed
from tests.replica import Pair, pair
from tests.support import ROOT, Process, eventually, free_port, silent
from tests.system import System

SPEED = 60
START = "2021-03-04T00:00:00Z"
FLOW = ("ingest", "indicators", "backfill", "alerts", "beat")
"""What takes candles from the exchange to alerts."""

PROCESSES = (*FLOW, "web")

RESTART_EVERY_S = 0.5
"""How soon the supervisor of a real installation starts a dead process again."""

MAX_STOP_S = 20.0
"""Real seconds in which a process that is told to stop has stopped."""

UNLISTED = ("RARI-USD", "TIA-USD")
"""Products of the local exchange that wait to be listed; the last one trades much."""

CHANNEL = """
[channel.hook]
kind = "webhook"
url_env = "HOOK"
allow_private = true
"""
EXCHANGE_HOST = "exchange.test"
SILENT, REFUSING, ANSWERING = "127.0.0.2", "127.0.0.3", "127.0.0.1"
"""Addresses that the exchange's name may have."""

AFTER_S = 5.0
"""Real seconds around a loss in which a note on a message may be lost with it."""

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
        """The servers of Redis, if there are two."""
        self.supervision = threading.Lock()
        """Whoever holds it starts and ends processes; nobody else does."""
        self.unlisted = list(UNLISTED)
        """Products that the exchange can still list."""
        self.furthest_s = 0.0
        """The latest exchange time that the exchange has shown and taken back."""
        self.watched_from_s: dict[str, float] = {}
        """Products of which nothing was forgotten since an exchange time at which all of their series were there."""

        self.losses: list[tuple[float, float]] = []
        """When (monotonic) a note that a message was delivered may have been lost: then it may come once more."""

    def process(self, name: str) -> psutil.Process | None:
        """The process that runs `name` now; None while there is none."""
        try:
            return psutil.Process(self.system.processes[name].pid)
        except psutil.NoSuchProcess:
            return None

    def child(self, name: str) -> psutil.Process | None:
        """The newest child of `name`; None where it has none at the moment."""
        try:
            parent = self.process(name)
            return max(parent.children(), key=lambda p: p.create_time(), default=None) if parent else None
        except psutil.NoSuchProcess:
            return None

    def redis_process(self) -> psutil.Process | None:
        """The process of Redis; None while it is away."""
        try:
            return psutil.Process(self.server.pid)
        except (Unready, psutil.NoSuchProcess):
            return None

    def start_redis(self) -> None:
        """Bring Redis back, unless it is there."""
        if self.redis_process() is None:
            self.server.start()

    def send(self, process: psutil.Process | None, signum: int) -> None:
        """A signal, unless the process has gone already."""
        with suppress(psutil.NoSuchProcess):
            if process is not None:
                process.send_signal(signum)

    def send_all(self, signum: int) -> None:
        """A signal to every process of the installation, Redis left out."""
        for name in list(self.system.processes):
            self.send(self.process(name), signum)

    @contextmanager
    def down(self, signum: int, *, redis: bool = False) -> Iterator[None]:
        """Everything is ended by `signum`, for as long as the block runs; `redis`: the server too. Files stay."""
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

    def run(self, *words: str) -> int:
        """A command of the installation, `reconcile now` for one; its exit code."""
        command = [sys.executable, "-m", "app", *words]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **self.system.env}, check=False).returncode

    def follow_listing(self) -> None:
        """If the exchange has listed products since the start, have the ingests started again: they look only then."""
        if len(self.unlisted) < len(UNLISTED):
            for name in self.system.processes:
                if name.startswith("ingest"):
                    self.send(self.process(name), signal.SIGTERM)

    def has_started(self) -> None:
        """Every series is there: from now on no bar is history."""
        self.watched_from_s = dict.fromkeys(followed(self.system, self.exchange), self.exchange.now_s())

    def forget(self) -> None:
        """Redis is killed, and comes back without its file."""
        self.watched_from_s = {}
        self.server.kill()
        shutil.rmtree(self.redis_folder / "appendonlydir", ignore_errors=True)
        self.start_redis()
        self.losses.append((0.0, time.monotonic() + AFTER_S))

    @property
    def redis_folder(self) -> Path:
        """Where the server that is the master now has its data."""
        return self.server.log.parent

    def file_sizes(self) -> dict[Path, int]:
        """The parts of the append-only file, and how large they are."""
        return {file: file.stat().st_size for file in self.redis_folder.rglob("*.incr.aof")}

    def fail_over(self) -> None:
        """The replica of Redis becomes the master; the old one lives on as its replica."""
        assert self.pair is not None
        self.pair.swap()
        self.server = self.pair.first
        with Redis.from_url(self.server.url) as client:
            client.config_set("maxmemory", "1gb")  # another fault may have left it without

    def set_clock(self, hours: float, *names: str) -> None:
        """The clock of the hosts of `names` (of every one but the exchange's, if none is given) is set, relative to
        the true time. Each process has a host of its own.
        """
        for file in map(self.clock_file, names) if names else self.folder.glob("clock*"):
            file.write_text(f"{hours:+.6f}h\n")

    def clock_file(self, name: str) -> Path:
        """What sets the clock of the host of process `name`."""
        return self.folder / f"clock-{name}"

    def set_addresses(self, *addresses: str) -> None:
        """The addresses of the exchange's name, in their order."""
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
    """A `World` whose processes `names` run, and are started again when they die, until the end of the block.

    `behind`: where they find Redis instead, a URL for as long as the block runs. `shares`: `ingest` and `ingest2` take
    that part of the products each, as long as there are as many of them. `replica`: Redis has one, and both are behind
    one name. `addresses`: the exchange is found by a name, whose addresses can be set.
    """
    (folder / "redis").mkdir(parents=True, exist_ok=True)
    (folder / "alerts.toml").write_text(RULES + CHANNEL)
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
        eventually(exchange.now_s, timeout=30)
        hook = stack.enter_context(service())
        clock = stack.enter_context(_clock_from(folder / "clock")) if faked_clock else {}
        server = stack.enter_context(RedisServer(folder / "redis", free_port()))
        everything = World(folder, exchange, venue, server, hook)
        urls = {"EXCHANGE_WS_URL": exchange.ws_url, "EXCHANGE_REST_URL": exchange.rest_url}
        if addresses:
            stack.enter_context(silent(SILENT, exchange.port))
            everything.set_addresses(ANSWERING)
            urls = {name: url.replace(ANSWERING, EXCHANGE_HOST) for name, url in urls.items()}
            urls |= {"PYTHONPATH": HOST_PRELUDE, "FAKE_NAMES": str(folder / "names")}
        alerts = {"ALERTS_FILE": str(folder / "alerts.toml"), "HOOK": hook.url}
        more = {"PRODUCTS": "all:USD", "WEB_PORT": str(free_port()), **urls, **alerts, **clock, **env}
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
    """A `World` of `FLOW` for many tests, each of which leaves it as well as it found it: every series is there."""
    with world(folder, products, 7, *FLOW, **env) as everything:
        eventually(lambda: everything.system.has_started(products), timeout=40, interval=0.2)
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
    """The environment of processes whose wall clock is in `file`; Redis, which is started from here, has it too.

    For Redis it takes a library (Debian: faketime); without it, only its clock stays true. Every monotonic clock does.
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
    """Start `names` and start again who dies. Their parent is one thread, which lives until the end."""
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
        assert up.wait(30), "the processes were not started"
        yield
    finally:
        ended.set()
        thread.join()


Waits = Iterator[float]
"""A fault as it happens: real seconds to wait until its next step; when it is over, it is healed."""


def frozen(world: World, process: psutil.Process | None, seconds: float) -> Waits:
    """A process stands still for a while."""
    world.send(process, signal.SIGSTOP)
    yield seconds
    world.send(process, signal.SIGCONT)

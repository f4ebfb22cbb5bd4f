"""Starts a plan, shows its progress, and stops it."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis.exceptions import RedisError

from app.alerts.in_force import publish
from app.errors import InvalidInput, Unready
from app.launch import ports
from app.launch.connectivity import Connectivity
from app.launch.data import Version, mark, trouble
from app.launch.exits import ExitReports
from app.launch.installations import announced
from app.launch.market_lock import claim
from app.launch.new_indicators import NewIndicators
from app.launch.places import root
from app.launch.plan import ExchangeChoice, Plan, redis_socket
from app.launch.progress import Progress
from app.launch.redis import wait_ready, without_login
from app.launch.sockets import is_answered, make_private
from app.launch.supervision import Program, Supervisor
from app.settings import Settings
from app.storage.connection import connect
from app.storage.fitness import read_facts, unfit
from app.storage.heartbeats import process_records
from app.storage.leftovers import earlier_version
from app.storage.rules import RuleStore, When
from app.util.stop import Stop

CHECK_EVERY_S = 1.0

FIRST = ("exchange", "ingest", "indicators")
"""Processes that a candle passes through on its way to an indicator."""
FIRST_ROLES = {"ingest", "worker indicators"}
"""Their roles in heartbeats."""
FIRST_S = 5.0
"""After this the others are started too: an ingest that cannot reach its exchange has no heartbeat."""


class Launcher:
    """One launch, from the checks to the exit of the last process."""

    def __init__(self, plan: Plan, until_ready_s: float | None = None) -> None:
        """`until_ready_s`: stop after the first new indicator, which must come within this time."""
        self._plan = plan
        self._until_ready_s = until_ready_s
        self._indicators: NewIndicators | None = None
        self._began_s = time.monotonic()
        self._stop = Stop()
        self._reload = threading.Event()
        self._exits: defaultdict[str, ExitReports] = defaultdict(ExitReports)
        self._progress = Progress(plan.web_url, plan.flower_url)

    def run(self) -> int:
        """Block until SIGINT, SIGTERM or SIGHUP; returns the exit code. SIGUSR1 applies a changed file of settings.

        Raises `InvalidInput` if a port is taken, the folder is in use or Redis holds another market's prices, and
        `Unready` if Redis does not start or no indicator comes in time. No process is left running in either case.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop.set())
        signal.signal(signal.SIGUSR1, lambda *_: self._reload.set())
        plan = self._plan
        try:
            plan.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (plan.logs, plan.data, redis_socket(plan.folder).parent):
                make_private(folder)
        except OSError as error:
            raise _unusable(plan.folder, error) from None
        with _sole_use(plan.folder):
            ports.check(plan.ports)
            if plan.redis and is_answered(redis_socket(plan.folder)):
                raise InvalidInput(f"{_near(plan.folder)} is in use: its Redis still runs; retry when it has stopped")
            self._print(_banner(plan))
            groups = ({"redis": plan.redis} if plan.redis else {}, plan.programs)
            supervisor = Supervisor(groups, plan.root, plan.logs, plan.environ)
            try:
                self._start_redis(supervisor)
                with announced(plan):
                    self._start_programs(supervisor)
                    is_complete = self._attend(supervisor)
            except Unready:
                is_complete = False
                if not self._stop.is_set():  # ignored while stopping
                    raise
            finally:
                clean = self._end(supervisor)
        if self._until_ready_s is not None and not is_complete:
            raise Unready("stopped before the first indicator was computed")
        return 0 if clean else 1

    def _start_redis(self, supervisor: Supervisor) -> None:
        supervisor.start(["redis"])
        url = self._plan.settings.redis.url
        try:
            wait_ready(url, alive=lambda: not (self._stop.is_set() or any(p.exits for p in supervisor.programs)))
        except Unready as error:
            if why := self._data_trouble():
                raise Unready(f"Redis cannot start: {why}") from None
            why = f"; its log ends: {_last_line(self._plan.logs / 'redis.log')}" if self._plan.redis else ""
            raise Unready(f"{error}{why}") from None
        for problem in self._unfit(url):
            self._report(f"not ready: {problem}")

    def _start_programs(self, supervisor: Supervisor) -> None:
        if first := [name for name in FIRST if name in self._plan.programs]:
            supervisor.start(first)
            self._await_first(self._plan.settings.redis.url)
        supervisor.start(self._plan.programs)

    def _unfit(self, url: str) -> Iterable[str]:
        """Why this Redis server is not suitable. `InvalidInput` if it holds another market's prices, `Unready` if it
        becomes unavailable.

        Once "Redis answers" is printed, a Redis that exits is restarted like any other process.
        """
        try:
            claim(url, self._plan.origin)
            with connect(url) as client:
                server, earlier = read_facts(client), earlier_version(client)
                self._indicators = NewIndicators(url, client)
        except RedisError as error:
            raise Unready(f"Redis at {without_login(url)} stopped answering: {error}") from None
        if self._plan.redis and (version := Version.parse(f"{server.name} {server.version}")):
            mark(self._plan.data, version)
        self._report(f"Redis answers: {without_login(url)}")
        if earlier:
            self._report(earlier)
        return unfit(server)

    def _await_first(self, url: str) -> None:
        """Wait, but not for long, for the first processes before the others compete for the processors."""
        until_s = time.monotonic() + FIRST_S
        with connect(url) as client, suppress(RedisError):
            while not self._stop.is_set() and time.monotonic() < until_s:
                if {mark.role for mark in process_records(client)} >= FIRST_ROLES:
                    return
                self._stop.wait(0.05)

    def _attend(self, supervisor: Supervisor) -> bool:
        """Report progress until a stop is requested; true if the launch is complete before."""
        reach = Connectivity(self._outside())
        while not self._stop.wait(CHECK_EVERY_S):
            if self._reload.is_set():
                self._reload.clear()
                self._report(self._reloaded())
            if not supervisor.is_alive:
                raise Unready("supervision failed, and every process was stopped")
            for program in supervisor.programs:
                if self._exits[program.name].is_due(exits := program.exits, time.monotonic()):
                    self._report(self._obituary(program, exits))
            for line in (reach.line(), *self._progress.lines(time.monotonic())):
                if line:
                    self._report(line)
            if self._until_ready_s is not None and self._is_complete(self._until_ready_s):
                return True
        return False

    def _is_complete(self, within_s: float) -> bool:
        """Whether the web server answers and an indicator was computed; `Unready` if not `within_s` of the start."""
        if self._progress.is_web_up and self._indicators and self._indicators.found():
            self._report("the first indicator is computed")
            return True
        if time.monotonic() - self._began_s > within_s:
            why = self._progress.trouble or f"see {_near(self._plan.logs)}"
            raise Unready(f"no indicator was computed within {within_s:g} s: {why}")
        return False

    def _reloaded(self) -> str:
        """Put the rules and channels of the file into force, unless a setting is wrong; returns what happened."""
        try:
            settings = Settings.from_environment()
            with connect(self._plan.settings.redis.url) as client:
                version = publish(RuleStore(client), settings.alerts, When.ALWAYS).version
        except (InvalidInput, RedisError) as error:
            return f"not reloaded, nothing has changed: {error}"
        return f"reloaded: {settings.alerts.counted}, version {version}"

    def _outside(self) -> list[str]:
        """The exchange's URLs, unless it is one of our own processes."""
        if self._plan.market is not ExchangeChoice.REAL:
            return []
        followed = [self._plan.settings.exchange(name) for name in self._plan.settings.exchanges]
        return [url for exchange in followed for url in (exchange.rest_url, exchange.ws_url)]

    def _obituary(self, program: Program, exits: int) -> str:
        log = self._plan.logs / f"{program.name}.log"
        if program.name == "redis" and (why := self._data_trouble()):
            return f"redis ended and cannot start: {why}. It is restarted, and the others wait for it"
        code = program.exit_code
        how = ", by a signal" if code < 0 else f", exit code {code}" if code else ""
        count = "" if exits == 1 else f" {exits} times"
        return (
            f"{program.name} ended{count}{how}; it is restarted, the others keep running. "
            f"Its log, {_near(log)}, ends: {_last_line(log)}"
        )

    def _data_trouble(self) -> str | None:
        """Why an embedded Redis that just exited could not read its folder; None for another cause."""
        if self._plan.redis is None:
            return None
        return trouble(_tail(self._plan.logs / "redis.log"), Path(_near(self._plan.data)))

    def _end(self, supervisor: Supervisor) -> bool:
        self._report("stopping every process, Redis last ...")
        clean = supervisor.stop()
        kept = f"its data is in {_near(self._plan.folder)}" if self._plan.redis else "Redis keeps its data"
        self._report(f"stopped; {kept}" if clean else f"stopped, but not cleanly: see {_near(self._plan.logs)}")
        return clean

    def _report(self, line: str) -> None:
        self._print(f"[{time.monotonic() - self._began_s:5.1f} s] {line}")

    def _print(self, text: str) -> None:
        """Print `text`. If stdout is closed (the terminal, `head`), stop everything in order."""
        try:
            print(text, flush=True)
        except OSError:
            self._stop.set()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _sole_use(folder: Path) -> Iterator[None]:
    """Hold `folder`; `InvalidInput` if another launcher holds it."""
    try:
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise _unusable(folder, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput(f"{_near(folder)} is in use: another launch runs from it; stop that one first") from None
        yield


def _unusable(folder: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"{_near(folder)} cannot be written ({error.strerror}): name another folder with --data")


def _banner(plan: Plan) -> str:
    local = plan.market is ExchangeChoice.LOCAL
    settings = plan.settings
    title = (
        f"Candlewick demo: an invented market, {settings.launch_exchange_speed:g} times as fast as a real one"
        if local
        else f"Candlewick on {plan.exchange_url}"
    )
    places = {
        "dashboard": plan.web_url,
        "API": f"{plan.web_url}/docs",
        "Flower": plan.flower_url,
        **({"local exchange": plan.exchange_url} if local else {}),
        "command line": f"{f'{_near(Path(sys.executable))} -m ' if root() else ''}candlewick status",
        "data": _near(plan.folder),
        "logs": _near(plan.logs),
    }
    rows = "\n".join(f"  {name:<15} {place}" for name, place in places.items())
    return f"{title}\n{rows}\n  Ctrl-C stops every process; the next start resumes from its data."


def _near(path: Path) -> str:
    """`path`, relative if it is in the current folder."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _last_line(log: Path) -> str:
    """The last line of `log` that is not empty, shortened."""
    return next((line.strip()[:200] for line in reversed(_tail(log).split("\n")) if line.strip()), "(nothing)")


def _tail(log: Path) -> str:
    """The last 16 KB of `log`; empty if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return file.read().decode(errors="replace")
    except OSError:
        return ""

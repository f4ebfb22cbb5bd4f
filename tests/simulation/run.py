"""One seed: run it, judge it, measure it."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.redis_server import RedisServer
from tests.simulation import current, standins
from tests.simulation.faults import KINDS
from tests.simulation.judge import Verdict, judge
from tests.simulation.plan import FULL, Plan, Size, plan_of
from tests.simulation.scheduler import Livelock
from tests.simulation.wire import Wire
from tests.simulation.world import World
from tests.support import free_port


@dataclass
class Result:
    """`cpu_s`: processor seconds of this process and of Redis. `fingerprint`: checksum of all data sent to Redis."""

    plan: Plan
    verdict: Verdict
    cpu_s: float
    requests: int
    round_trips: int
    fingerprint: int
    trace: list[str] = field(default_factory=list)


class _Server(RedisServer):
    """The embedded server on a socket file, without a copy on disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_port())
        self.path = str(folder / "redis.sock")
        self._command = [*self._command, "--unixsocket", self.path, "--appendonly", "no"]


@contextmanager
def simulator() -> Iterator[Simulator]:
    """A server, and the patched modules of the project."""
    with TemporaryDirectory() as folder, _Server(Path(folder)) as server, standins.patched():
        yield Simulator(Wire(server.path, lambda: 0))


class Simulator:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        gc.freeze()
        gc.disable()

    def plan(self, seed: int, size: Size = FULL) -> Plan:
        return plan_of(seed, KINDS, size)

    def run(self, plan: Plan, *, traced: bool = False) -> Result:
        """Run `plan`; the same result each time."""
        began_s, trace = self._cpu_s(), list[str]()
        record = (lambda at_s, name, what: trace.append(f"{at_s:11.3f} s  {name:22} {what}")) if traced else None
        gc.collect(0)  # objects of the last run; 0.25 s faster than a full collection
        self._wire.restart(lambda: 0)
        world = World(plan, self._wire, record)
        self._wire.restart(lambda: world.scheduler.now_us)
        with current.running(world):
            try:
                world.run()
                fingerprint, round_trips = self._wire.fingerprint, self._wire.calls
                verdict = judge(world)
            except Livelock:
                fingerprint, round_trips = self._wire.fingerprint, self._wire.calls
                verdict = Verdict(stuck=[f"{world.steps} trips to Redis, and no end"])
            for process in world.processes[:]:
                world.kill(process, again=False)
        cpu_s = self._cpu_s() - began_s
        return Result(plan, verdict, cpu_s, len(world.venue.requests_us), round_trips, fingerprint, trace)

    def _cpu_s(self) -> float:
        info = self._wire.call("INFO", "cpu").decode()
        numbers = dict(line.split(":") for line in info.splitlines() if ":" in line)
        return time.process_time() + float(numbers["used_cpu_sys"]) + float(numbers["used_cpu_user"])

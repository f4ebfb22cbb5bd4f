"""One installation and its exchange: processes are started, killed and restarted as planned."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.errors import CandlewickError
from tests.simulation import seams
from tests.simulation.beat import Beat
from tests.simulation.broker import Broker
from tests.simulation.certain import certain, untrue
from tests.simulation.faults import STRIKES
from tests.simulation.market import STEP_S, TradeLog
from tests.simulation.plan import HOUR_S, Fault, Liar, Plan, Start, trade_logs_of
from tests.simulation.process import Process
from tests.simulation.scheduler import Actor, Killed, Livelock, Scheduler
from tests.simulation.venue import Venue
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from app.market.records import Records
    from app.settings import Settings
    from tests.simulation.broker import Task
    from tests.simulation.feed import Link

GRACE_S = 2.05
"""Seconds after the end of a bucket at which a heartbeat closes it."""
SETTLED_S = 60.2
"""Seconds after the end of a bucket at which REST is final."""
RESTART_S = (1.0, 20.0)
PATIENCE_S = (0.25, 40.0)
MAX_REPORTED = 20


class World:
    """Everything of one seed."""

    USUAL_DELAY_S = (0.02, 0.9)

    def __init__(self, plan: Plan, wire: Wire, trace: Callable[[float, str, str], None] | None = None) -> None:
        self.plan = plan
        self.wire = wire
        self.chance = random.Random(f"world {plan.seed}")
        self.density = plan.density
        self.scheduler = Scheduler(int(plan.begin_s * 1e6), self.chance)
        self.venue = Venue(self.scheduler, trade_logs_of(plan), self.chance)
        self.broker = Broker(self)
        self.processes: list[Process] = []
        self.owners: dict[Actor, Process] = {}
        self.links: list[Link] = []
        self.start: Start = plan.starts[0]
        self.crashes: list[str] = []
        self.emptied_buckets: list[str] = []
        self.deceptions: list[str] = []
        self.steps = 0
        self.pids = count(1)
        self.busy = 0
        self.update_delay_s = self.USUAL_DELAY_S
        self.skips_last = False
        self.refuses_links = False
        self.redis_is_down = False
        self.reply_loss = 0.0
        self.beat = Beat(self)
        self.zero_ms = 0
        self._trace = trace
        self.venue.note = self.note if trace else None
        self._heals: dict[int, Callable[[], None]] = {}
        self._settings: Settings | None = None
        self._next_idle_us = 0
        self._last_update_us: dict[str, int] = {}
        self._running: dict[Process, list[tuple[str, Task]]] = {}

    # The course of a seed.

    def run(self) -> None:
        """Run all starts of the plan, one after the other. Raises `Livelock`."""
        at_s = 0.0
        for start in self.plan.starts:
            self.start = start
            self._begin(at_s)
            at_s += start.hours * HOUR_S
            self.scheduler.run_until(self._us(at_s))
            at_s += start.down_hours * HOUR_S
            if start.down_hours:
                self._end()
                self.scheduler.now_us = self._us(at_s)
                self.note("world", f"was down for {start.down_hours:.1f} h")

    def _us(self, at_s: float) -> int:
        return int((self.plan.begin_s + at_s) * 1e6)

    def _begin(self, at_s: float) -> None:
        start = self.start
        self.note("world", f"starts: {start}")
        self._settings = seams.settings_of(start.products, start.timeframes, start.capacity, start.per_second)
        for kind, many in (
            ("ingest", start.ingests),
            ("indicators", start.indicators),
            ("backfill", len(start.backfill)),
        ):
            for number in range(many):
                self.launch(kind, number, self.chance.uniform(0.1, 3))
        for name in self.venue.trade_logs:
            self._follow(name)
        self.scheduler.after(1, self.beat.tick)
        self.scheduler.after(1, self._tick)
        end_s = at_s + start.hours * HOUR_S
        for fault in self.plan.faults:
            if at_s <= fault.at_s < end_s:
                self.scheduler.at(self._us(fault.at_s), lambda fault=fault: self._strike(fault))

    def _end(self) -> None:
        """Stop everything, as in a power cut, and end all faults."""
        for process in self.processes[:]:
            self.kill(process, again=False)
        for number in list(self._heals):
            self._heal(number)
        self.scheduler.clear()
        self.beat.restart()

    def _strike(self, fault: Fault) -> None:
        self.note("fault", f"{fault.kind} for {fault.lasts_s:.0f} s")
        heal = STRIKES[fault.kind](self, random.Random(f"fault {self.plan.seed} {fault.number}"))
        if heal is not None:
            self._heals[fault.number] = heal
            self.scheduler.after(fault.lasts_s, lambda: self._heal(fault.number))

    def _heal(self, number: int) -> None:
        if (heal := self._heals.pop(number, None)) is not None:
            self.note("fault", f"number {number} is over")
            heal()

    # Processes.

    def launch(self, kind: str, number: int, after_s: float) -> None:
        """Start a process `after_s` from now."""

        def begin() -> None:
            process = Process(self, kind, number)
            process.loses = self.reply_loss
            self.processes.append(process)
            self.note(process.name, "starts")
            assert self._settings is not None
            if kind == "ingest":
                process.spawn("", self._guarded(process, seams.ingest(process, self._settings)))
                return
            run = seams.worker(process, self._settings)
            for thread in range(self.start.backfill[number] if kind == "backfill" else 1):
                process.spawn(f"thread {thread}", self._guarded(process, lambda: self._work(process, run)))

        self.scheduler.after(after_s, begin)

    def kill(self, process: Process, *, again: bool = True) -> None:
        """Kill a process; its memory is lost."""
        if not process.is_alive:
            return
        self.note(process.name, "is killed")
        process.is_alive = False
        self.processes.remove(process)
        for link in [link for link in self.links if link.belongs_to(process)]:
            link.forget()
            self.links.remove(link)
        for actor in process.actors:
            actor.kill()
            del self.owners[actor]
        for queue, task in self._running.pop(process, []):
            self.busy -= queue != "indicators"
            self.broker.return_later(queue, task)
        if again:
            self.launch(process.kind, process.number, self.chance.uniform(*RESTART_S))

    def _guarded(self, process: Process, run: Callable[[], None]) -> Callable[[], None]:
        """Restart a process that ends with an error; the error counts as one of the project."""

        def guarded() -> None:
            try:
                run()
            except Livelock:
                raise
            except Exception as error:
                self.crash(process.name, error)
                self.scheduler.after(0, lambda: self.kill(process))

        return guarded

    def _work(self, process: Process, run: Callable[[Task], None]) -> None:
        queues = seams.QUEUES[process.kind]
        running = self._running.setdefault(process, [])
        while True:
            queue, task = self.broker.take(queues)
            running.append((queue, task))
            self.busy += queue != "indicators"
            if queue != "indicators" and self.scheduler.now_us > self._next_idle_us - 10_000_000:
                self._beat_all()
                self.sleep(0.4)  # so that its clock is fresh
            try:
                run(task)
            except (Killed, Livelock):
                raise
            except (RedisError, OperationalError, CandlewickError) as error:
                self.note(process.name, f"{task.name} failed: {error}")
                if isinstance(error, CandlewickError):
                    self.crash(process.name, error)
            running.remove((queue, task))
            self.busy -= queue != "indicators"

    def crash(self, name: str, error: Exception) -> None:
        text = f"{name}: {type(error).__name__}: {error}"
        self.note(name, f"error: {text}")
        if len(self.crashes) < MAX_REPORTED:
            self.crashes.append(text)

    def wrote(self, product: str, step_s: int, records: Records, emptied: Sequence[int]) -> None:
        """Judge `records` just stored; those at `emptied` replaced candles with trades."""
        trade_log = self.venue.trade_logs.get(product)
        if trade_log is None:
            return
        place = f"{product} {step_s // 60}m"
        gone = [s for s in emptied if trade_log.has_traded(step_s, s, self.scheduler.now_ms)]
        self._report(self.emptied_buckets, [f"{place} {s}" for s in gone])
        if self.plan.liar < Liar.REST:
            sure = certain(records, without_stream=self.plan.liar == Liar.STREAM)
            self._report(
                self.deceptions, (f"{place} {start_s}, {what}" for start_s, what in untrue(trade_log, step_s, sure))
            )

    def _report(self, reported: list[str], lines: Iterable[str]) -> None:
        for line in lines:
            self.note("judge", f"wrong: {line}")
            if len(reported) < MAX_REPORTED:
                reported.append(line)

    # Time.

    @property
    def is_busy(self) -> bool:
        """Whether a worker is active that needs a fresh clock."""
        return self.busy > 0

    @property
    def patience_s(self) -> float:
        return self.chance.uniform(*PATIENCE_S)

    def lag_s(self) -> float:
        """How long other actors may run before a round trip to Redis."""
        luck = self.chance.random()
        return (
            self.chance.uniform(0.0002, 0.003) if luck < 0.9 else self.chance.uniform(0.01, 0.4 if luck < 0.995 else 5)
        )

    def sleep(self, seconds: float) -> None:
        assert self.scheduler.current is not None
        self.scheduler.current.sleep(seconds)

    def note(self, name: str, what: str) -> None:
        if self._trace is not None:
            self._trace(self.scheduler.now_s - self.plan.begin_s, name, what)

    # The exchange's stream.

    def _follow(self, name: str) -> None:
        trade_log = self.venue.trade_logs[name]
        moments = trade_log.trades_after(self.scheduler.now_ms)

        def trade(moment_ms: int) -> None:
            next_ms = next(moments, None)
            is_last = next_ms is None or next_ms // 1000 // STEP_S > moment_ms // 1000 // STEP_S
            if not (self.skips_last and is_last) and any(link.delivers(name) for link in self.links):
                self._update(name, trade_log, moment_ms)
            if next_ms is not None:
                self.scheduler.at(next_ms * 1000, lambda: trade(next_ms))

        first_ms = next(moments, None)
        if first_ms is not None:
            self.scheduler.at(first_ms * 1000, lambda: trade(first_ms))

    def _update(self, name: str, trade_log: TradeLog, moment_ms: int) -> None:
        zero_ms = self.zero_ms if self.zero_ms // 1000 // STEP_S == moment_ms // 1000 // STEP_S else 0
        bar = trade_log.partial(STEP_S, moment_ms, zero_ms)

        def send() -> None:
            if bar is not None and self.venue.listed[name]:
                for link in self.links[:]:
                    link.update(name, bar)

        # Updates of one product arrive in the order of its trades.
        arrives_us = self.scheduler.now_us + int(self.chance.uniform(*self.update_delay_s) * 1e6)
        self._last_update_us[name] = max(arrives_us, self._last_update_us.get(name, 0) + 1)
        self.scheduler.at(self._last_update_us[name], send)

    def _tick(self) -> None:
        """Send heartbeats, as often as they matter."""
        now_us = self.scheduler.now_us
        is_special = any(link.is_odd for link in self.links)
        if self.is_busy or is_special or now_us >= self._next_idle_us:
            self._beat_all()
        self.scheduler.at(min(now_us + (1 if is_special else 5) * 1_000_000, self._next_idle_us), self._tick)

    def _beat_all(self) -> None:
        now_us = self.scheduler.now_us
        begin_us = now_us // (STEP_S * 1_000_000) * (STEP_S * 1_000_000)
        marks = [begin_us + int(s * 1e6) for s in (GRACE_S, SETTLED_S, 150, 240, STEP_S + GRACE_S)]
        self._next_idle_us = min(mark for mark in marks if mark > now_us)
        for link in self.links[:]:
            link.beat()

    def forget(self) -> None:
        """Redis loses all its data."""
        self.wire.flush()
        self.broker.forget()

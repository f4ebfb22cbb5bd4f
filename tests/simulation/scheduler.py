"""Events and actors in the order of virtual time; the seed decides ties."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count

import greenlet


class Killed(BaseException):
    """The process of this actor was killed: no code of it may run any more."""


class Livelock(Exception):
    """More steps than any correct run takes."""


class Actor:
    """One thread of a simulated process. It runs alone until it waits in the scheduler."""

    def __init__(self, scheduler: Scheduler, name: str, run: Callable[[], None]) -> None:
        self.name = name
        self.is_dead = False
        self._scheduler = scheduler
        self._run = run
        self._greenlet = greenlet.greenlet(self._main, parent=scheduler.hub)
        self._wait = 0
        self._wakes_us: int | None = None

    def start(self, after_s: float = 0.0) -> None:
        self._sleep_until(self._scheduler.now_us + int(after_s * 1e6))

    def _main(self) -> None:
        try:
            self._run()
        except (Killed, greenlet.GreenletExit):
            pass
        finally:
            self.is_dead = True

    def sleep(self, seconds: float) -> None:
        """Called by the actor itself: let others run for `seconds`. Raises `Killed`."""
        self._sleep_until(self._scheduler.now_us + max(1, int(seconds * 1e6)))
        self._pause()

    def wait(self, at_most_s: float) -> None:
        """Called by the actor itself: wait until `wake`, at most `at_most_s`."""
        self.sleep(at_most_s)

    def wake(self, within_s: float = 0.0) -> None:
        """Called by others: end its wait after `within_s` at the latest."""
        at_us = self._scheduler.now_us + max(1, int(within_s * 1e6))
        if self._wakes_us is not None and at_us < self._wakes_us and not self.is_dead:
            self._sleep_until(at_us)

    def kill(self) -> None:
        """Called from the hub. Its memory is gone; its `finally` blocks have no effect on others."""
        if self.is_dead:
            return
        self.is_dead = True
        self._wait += 1
        if self._greenlet:  # it has begun and not ended
            self._greenlet.throw(Killed)

    def _sleep_until(self, at_us: int) -> None:
        self._wait += 1
        wait = self._wait
        self._wakes_us = at_us
        self._scheduler.at(at_us, lambda: self._resume(wait))

    def _resume(self, wait: int) -> None:
        if wait == self._wait and not self.is_dead:
            self._wakes_us = None
            self._scheduler.current = self
            self._greenlet.switch()
            self._scheduler.current = None

    def _pause(self) -> None:
        self._scheduler.hub.switch()
        if self.is_dead:
            raise Killed


class Scheduler:
    """Virtual time and its future events. Must be made and run in the same greenlet."""

    def __init__(self, start_us: int, chance: random.Random) -> None:
        self.now_us = start_us
        self.chance = chance
        self.hub = greenlet.getcurrent()
        self.current: Actor | None = None
        self._events: list[tuple[int, float, int, Callable[[], None]]] = []
        self._number = count()

    @property
    def now_s(self) -> float:
        return self.now_us / 1e6

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    def at(self, at_us: int, event: Callable[[], None]) -> None:
        """Schedule `event`; the seed orders events of the same moment."""
        heapq.heappush(self._events, (max(at_us, self.now_us), self.chance.random(), next(self._number), event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        self.at(self.now_us + int(seconds * 1e6), event)

    def advance(self, us: int) -> bool:
        """Advance time without a switch if no other event is due before; returns whether it did."""
        if self._events and self._events[0][0] <= self.now_us + us:
            return False
        self.now_us += us
        return True

    def run_until(self, end_us: int) -> None:
        """Run all events up to `end_us`."""
        events = self._events
        while events and events[0][0] <= end_us:
            self.now_us, _, _, event = heapq.heappop(events)
            event()
        self.now_us = end_us

    def clear(self) -> None:
        """Drop all future events."""
        self._events.clear()

"""Celery's beat without ticks that have no effect."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.tasks import MAX_WAITING_PERIODIC
from tests.simulation import seams

if TYPE_CHECKING:
    from tests.simulation.world import World

BEAT_S = 2.0
IDLE_BEAT_S = 15.0
BEAT_WINDOW_S = 25.0
"""Exchange seconds after the start of a slot during which its task is sent."""
FIRST_TICKS = 20
"""Ticks after a start that are always sent."""


class Beat:
    """`is_on`: whether it runs."""

    def __init__(self, world: World) -> None:
        self.is_on = True
        self._world = world
        self._ticks = 0
        self._due_ms = 0.0

    def restart(self) -> None:
        """Count its ticks from 0 again."""
        self._ticks = 0

    def tick(self) -> None:
        """Send due tasks, and schedule the next tick."""
        world, wait_s = self._world, IDLE_BEAT_S
        if self.is_on and not world.redis_is_down:
            exchange_s = (world.scheduler.now_ms + world.venue.leap_ms) / 1000
            for name, every_s in ((seams.SCAN, 300.0), (seams.RECONCILE, 3600.0)):
                # Repeated, because the clock in Redis may be behind.
                if exchange_s % every_s < BEAT_WINDOW_S or self._ticks < FIRST_TICKS or world.chance.random() < 0.02:
                    self._send_beat(name)
            if self._requests_wait() or world.is_busy or world.chance.random() < 0.1:
                self._send_beat(seams.DRAIN)
                wait_s = BEAT_S
            self._ticks += 1
        world.scheduler.after(BEAT_S if self._ticks < FIRST_TICKS else wait_s, self.tick)

    def _send_beat(self, name: str) -> None:
        queue = seams.BEATS[name]
        if self._world.broker.waiting(queue) < MAX_WAITING_PERIODIC:
            self._world.broker.send(queue, name, {})

    def _requests_wait(self) -> bool:
        """Whether a request is due, read from the queue by the simulation."""
        if self._world.wire.queue_changed:
            ready, *waiting = self._world.wire.call_all(
                [("EXISTS", seams.READY), *(("ZRANGE", key, 0, 0, "WITHSCORES") for key in seams.PENDING)]
            )
            self._world.wire.queue_changed = False
            firsts = [float(first[1]) for first in waiting if first]
            self._due_ms = 0.0 if ready else min(firsts, default=math.inf)
        return self._due_ms <= self._world.scheduler.now_ms

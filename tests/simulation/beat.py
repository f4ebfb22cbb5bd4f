"""What Celery's beat sends, less the ticks of which nothing would follow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.tasks import MAX_WAITING_PERIODIC
from tests.simulation import seams

if TYPE_CHECKING:
    from tests.simulation.world import World

BEAT_S = 2.0
IDLE_BEAT_S = 15.0
HEARD_S = 25.0
"""Exchange seconds after the begin of a slot in which its task is sent."""
FIRST_TICKS = 20
"""After a start nothing is left out."""


class Beat:
    """`is_on`: whether it runs."""

    def __init__(self, world: World) -> None:
        self.is_on = True
        self._world = world
        self._ticks = 0
        self._due_ms = 0.0

    def restart(self) -> None:
        """It begins anew."""
        self._ticks = 0

    def tick(self) -> None:
        """Send what may be due, and come again."""
        world, wait_s = self._world, IDLE_BEAT_S
        if self.is_on and not world.redis_is_down:
            exchange_s = (world.scheduler.now_ms + world.venue.leap_ms) / 1000
            for name, every_s in ((seams.SCAN, 300.0), (seams.RECONCILE, 3600.0)):
                # Until it is heard: the clock in Redis may be behind.
                if exchange_s % every_s < HEARD_S or self._ticks < FIRST_TICKS or world.chance.random() < 0.02:
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
        """Whether a request is due, by the simulation's own look at the queue."""
        if self._world.wire.queue_changed:
            ready, *waiting = self._world.wire.ask_all(
                [("EXISTS", seams.READY), *(("ZRANGE", key, 0, 0, "WITHSCORES") for key in seams.PENDING)]
            )
            self._world.wire.queue_changed = False
            firsts = [float(first[1]) for first in waiting if first]
            self._due_ms = 0.0 if ready else min(firsts, default=math.inf)
        return self._due_ms <= self._world.scheduler.now_ms

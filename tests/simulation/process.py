"""A simulated process: its threads are actors, and its way to Redis is a gate at which it may be killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import redis

from tests.simulation.scheduler import Actor, Killed, Livelock
from tests.simulation.wire import Client

if TYPE_CHECKING:
    from tests.simulation.world import World

MAX_STEPS = 60_000
"""Round trips to Redis in one seed: many times those of the longest seed."""


ROUND_TRIP_US = 50
"""Shortest round trip to Redis."""


class Process:
    """`kind`: ingest, backfill or indicators; `number`: which of several."""

    def __init__(self, world: World, kind: str, number: int) -> None:
        self.world = world
        self.kind = kind
        self.name = f"{kind}{number}"
        self.number = number
        self.identity = f"simulated:{next(world.pids)}"
        self.is_alive = True
        self.actors: list[Actor] = []
        self.client = Client(world.wire, self)
        self.fuse: int | None = None
        """Round trips to Redis until it is killed."""
        self.stalls_s = 0.0
        """How long it stalls at its next round trip."""
        self.is_cut = False
        self.loses = 0.0
        """Share of round trips whose responses get lost."""

    def spawn(self, name: str, run: Callable[[], None], after_s: float = 0.0) -> None:
        actor = Actor(self.world.scheduler, f"{self.name} {name}".rstrip(), run)
        self.actors.append(actor)
        self.world.owners[actor] = self
        actor.start(after_s)

    def wake_ingest(self) -> None:
        """Wake the writer for the outbox: soon, sooner if a worker waits for the clock."""
        if self.actors:
            self.actors[0].wake(0.25 if self.world.is_busy else self.world.patience_s)

    # The gate.

    def before(self) -> None:
        world, scheduler = self.world, self.world.scheduler
        actor = scheduler.current
        if not self.is_alive or actor is None or actor.is_dead:
            raise Killed
        world.steps += 1
        if world.steps > MAX_STEPS:
            raise Livelock
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                world.note(self.name, "killed between two calls of Redis")
                scheduler.after(0, lambda: world.kill(self))
                actor.sleep(1)
        if self.stalls_s:
            seconds, self.stalls_s = self.stalls_s, 0.0
            world.note(actor.name, f"stands still for {seconds:.0f} s")
            actor.sleep(seconds)
        elif world.chance.random() < world.density:
            actor.sleep(world.lag_s())
        elif not scheduler.advance(ROUND_TRIP_US):
            actor.sleep(ROUND_TRIP_US / 1e6)
        if self.is_cut or world.redis_is_down:
            actor.sleep(0.05)
            raise redis.ConnectionError("connection refused")

    def loses_reply(self) -> bool:
        return self.loses > 0 and self.world.chance.random() < self.loses

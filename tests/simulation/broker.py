"""Tasks between processes without a broker: delivered late, twice or never, as the current faults require."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.scheduler import Actor

if TYPE_CHECKING:
    from tests.simulation.world import World

REDELIVERED_S = 600.0
"""A task is redelivered this long after its worker was killed."""

MAX_WAITING = 1_000


class Task(NamedTuple):
    name: str
    work: dict[str, Any]


class Broker:
    """One queue per name. `loses` and `doubles`: shares of tasks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._queues: dict[str, deque[Task]] = {}
        self._idle: dict[str, list[Actor]] = {}
        self.loses = 0.0
        self.doubles = 0.0

    def send(self, queue: str, name: str, work: dict[str, Any]) -> None:
        world = self._world
        luck = world.chance.random() if self.loses or self.doubles else 1.0
        if luck < self.loses:
            world.note("broker", f"loses {name}")
            return
        for _ in range(2 if luck < self.loses + self.doubles else 1):
            task = Task(name, json.loads(json.dumps(work)))
            world.scheduler.after(world.chance.uniform(0.002, 0.03), lambda task=task: self._arrive(queue, task))

    def _arrive(self, queue: str, task: Task) -> None:
        waiting = self._queues.setdefault(queue, deque())
        if len(waiting) < MAX_WAITING:
            waiting.append(task)
        idle = [actor for actor in self._idle.get(queue, []) if not actor.is_dead]
        self._idle[queue] = idle
        if idle:
            idle.pop(self._world.chance.randrange(len(idle))).wake()

    def take(self, queues: tuple[str, ...]) -> tuple[str, Task]:
        """Called by an actor: wait for the next task of `queues`."""
        actor = self._world.scheduler.current
        assert actor is not None
        while True:
            for queue in queues:
                waiting = self._queues.get(queue)
                if waiting:
                    return queue, waiting.popleft()
            for queue in queues:
                idle = self._idle.setdefault(queue, [])
                if actor not in idle:
                    idle.append(actor)
            actor.wait(1e9)

    def return_later(self, queue: str, task: Task) -> None:
        """Redeliver a task of a killed worker."""
        self._world.scheduler.after(REDELIVERED_S, lambda: self._arrive(queue, task))

    def waiting(self, queue: str) -> int:
        return len(self._queues.get(queue, ()))

    def forget(self) -> None:
        """Drop all tasks, because Redis lost its data."""
        self._queues.clear()

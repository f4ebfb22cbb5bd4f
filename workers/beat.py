"""Beat sends no task to a full queue. Any number of beats may run."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.result import AsyncResult
from redis.exceptions import RedisError

from app.storage.heartbeats import Heartbeat
from app.tasks import MAX_WAITING_PERIODIC, waiting_in
from workers.app import context


class BoundedScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """A scheduler in memory: with intervals of seconds, it needs no schedule file."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heartbeat = Heartbeat(context().redis, "beat")

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send due tasks; returns the seconds until the next call."""
        with suppress(RedisError):
            self._heartbeat.beat()
        wait_s: float = super().tick(*arguments, **options)
        return wait_s

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> AsyncResult | None:
        """Send the task of `entry`, unless its queue is full."""
        if waiting_in(context().redis, entry.options["queue"]) < MAX_WAITING_PERIODIC:
            sent: AsyncResult = super().apply_async(entry, producer=producer, advance=advance, **kwargs)
            return sent
        if advance:
            self.reserve(entry)
        return None

"""Sends tasks by name, so that nothing in `app` imports a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import celery
from redis import Redis

from app.storage import keys
from app.storage.changed_ranges import ChangedRange
from app.storage.transport import share
from app.util.batches import batched

UPDATE = "workers.indicators.update"
DRAIN = "workers.backfill.drain"
SCAN = "workers.backfill.scan"
DELIVER = "workers.alerts.deliver"

SERIES_PER_TASK = 176
"""A quarter of 700. A task has a fixed cost of some 5 ms, so few are best, but enough to keep two processes busy."""

MAX_WAITING = 1_000
"""Tasks in a queue from which new ones are dropped and counted. The next scan, or beat's next tick, finds their work.
So workers that were stopped for days resume with minutes of work, and Redis does not fill up."""

MAX_WAITING_PERIODIC = 20
"""Tasks in a queue from which no further periodic task is sent: each does all waiting work, so a few are enough.

An expiry time would also bound queues, but a worker checks it by its own clock: 90 s ahead, it drops every task.
"""

DROPPED = "tasks_dropped"


def waiting_in(client: Redis, queue: str) -> int:
    """Number of tasks that wait in a queue of Celery."""
    return int(client.llen(f"{keys.CELERY}{queue}"))


class Tasks:
    """Sends tasks, except to full queues. Each method raises kombu's `OperationalError` or redis' errors."""

    def __init__(self, client: Redis, exchange: str) -> None:
        self._redis = client
        self._one_at_a_time = threading.Lock()  # else each thread keeps two more connections to the broker
        self._exchange = exchange
        # Loaded here: it takes 0.1 s, and not every process sends. Without a Django project in the current folder.
        self._app = celery.Celery("candlewick-sender", fixups=[])
        self._app.config_from_object(import_module("celeryconfig"))
        share(self._app, client)

    def update(self, changed: Iterable[ChangedRange]) -> None:
        """Request aggregates and indicators of the changed buckets."""
        for some in batched(changed, SERIES_PER_TASK):
            self._send(UPDATE, queue="indicators", changed=[list(t) for t in some])

    def drain(self) -> None:
        """Request work on the backfill queue now."""
        self._send(DRAIN, queue="backfill", enough=MAX_WAITING_PERIODIC)

    def scan(self) -> None:
        """Request a scan for gaps now."""
        self._send(SCAN, queue="backfill", now=True)

    def deliver(self, channel: str | None = None) -> None:
        """Request delivery of waiting alert messages for `channel`, or for all channels."""
        self._send(DELIVER, queue="alerts", enough=MAX_WAITING_PERIODIC, channel=channel)

    def _send(self, name: str, *, queue: str, enough: int | None = None, **work: Any) -> None:
        waiting = waiting_in(self._redis, queue)
        if enough is not None and waiting >= enough:
            return
        if waiting >= MAX_WAITING:
            self._redis.hincrby(keys.COUNTERS, f"{DROPPED}:{queue}", 1)
            return
        kwargs = {"exchange": self._exchange, **work}
        with self._one_at_a_time:
            self._app.send_task(name, kwargs=kwargs, queue=queue, ignore_result=True)

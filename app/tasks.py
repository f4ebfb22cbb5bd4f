"""How tasks are sent: by name, so that nothing in `app` imports a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterable
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
"""A quarter of 700: a task costs some 5 ms by itself, so few are best, but as many as keep two processes busy."""

MAX_WAITING = 1_000
"""Tasks in a queue, from which on more are dropped, and counted: what they were for is found by the next scan, or by
beat's next tick. Workers that were away for days come back to minutes of work, and Redis does not fill up meanwhile."""

MAX_WAITING_PERIODIC = 20
"""Tasks in a queue, from which on no further one of those is sent that look at all there is to do: a few do it as well.

An expiry time would bound piles too, but a worker checks it by its own clock: 90 s ahead, it throws everything away.
"""

DROPPED = "tasks_dropped"


class Tasks:
    """Sends tasks, and never onto a pile. Each method raises kombu's `OperationalError` or redis' errors."""

    def __init__(self, client: Redis, exchange: str) -> None:
        self._redis = client
        self._one_at_a_time = threading.Lock()  # or each thread would keep two more connections to the broker
        self._exchange = exchange
        self._app = celery.Celery("candlewick-sender")  # imported here: it takes 0.1 s, and not everybody sends
        self._app.config_from_object("celeryconfig")
        share(self._app, client)
        self._prefix = self._app.conf.broker_transport_options["global_keyprefix"]

    def update(self, changed: Iterable[ChangedRange]) -> None:
        """Have aggregates and indicators of the changed buckets computed."""
        for some in batched(changed, SERIES_PER_TASK):
            self._send(UPDATE, queue="indicators", changed=[list(t) for t in some])

    def drain(self) -> None:
        """Have somebody look at the backfill queue now."""
        self._send(DRAIN, queue="backfill", enough=MAX_WAITING_PERIODIC)

    def scan(self) -> None:
        """Have everything looked through for gaps now."""
        self._send(SCAN, queue="backfill", now=True)

    def deliver(self, channel: str | None = None) -> None:
        """Have the messages of alerts that wait for `channel`, or for any, sent now."""
        self._send(DELIVER, queue="alerts", enough=MAX_WAITING_PERIODIC, channel=channel)

    def _send(self, name: str, *, queue: str, enough: int | None = None, **work: Any) -> None:
        waiting = int(self._redis.llen(f"{self._prefix}{queue}"))
        if enough is not None and waiting >= enough:
            return
        if waiting >= MAX_WAITING:
            self._redis.hincrby(keys.COUNTERS, f"{DROPPED}:{queue}", 1)
            return
        kwargs = {"exchange": self._exchange, **work}
        with self._one_at_a_time:
            self._app.send_task(name, kwargs=kwargs, queue=queue, ignore_result=True)

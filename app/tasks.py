"""How tasks are sent: by name, so that nothing in `app` imports a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import celery
from redis import Redis

from app.batches import batched
from app.cache import keys
from app.touched import Touched

UPDATE = "workers.indicators.update"
DRAIN = "workers.repair.drain"
SCAN = "workers.repair.scan"
DELIVER = "workers.alerts.deliver"

SERIES_A_TASK = 176
"""A quarter of 700: a task costs some 5 ms by itself, so few are best, but as many as keep two processes busy."""

MOST_WAITING = 1_000
"""Tasks in a queue, from which on more are dropped, and counted: what they were for is found by the next scan, or by
beat's next tick. Workers that were away for days come back to minutes of work, and Redis does not fill up meanwhile."""

DROPPED = "tasks_dropped"


class Tasks:
    """Sends tasks, and never onto a pile. Each method raises kombu's `OperationalError` or redis' errors."""

    def __init__(self, client: Redis, exchange: str) -> None:
        self._redis = client
        self._one_at_a_time = threading.Lock()  # or each thread would keep two more connections to the broker
        self._exchange = exchange
        self._app = celery.Celery("candlewick-sender")  # imported here: it takes 0.1 s, and not everybody sends
        self._app.config_from_object("celeryconfig")
        self._prefix = self._app.conf.broker_transport_options["global_keyprefix"]

    def update(self, touched: Iterable[Touched]) -> None:
        """Have aggregates and indicators of the touched buckets computed."""
        for some in batched(touched, SERIES_A_TASK):
            self._send(UPDATE, queue="indicators", touched=[list(t) for t in some])

    def drain(self) -> None:
        """Have somebody look at the repair queue now."""
        self._send(DRAIN, queue="backfill", expires=10)

    def scan(self) -> None:
        """Have everything looked through for gaps now."""
        self._send(SCAN, queue="backfill", expires=60, now=True)

    def deliver(self, channel: str | None = None) -> None:
        """Have the messages of alerts that wait for `channel`, or for any, sent now."""
        self._send(DELIVER, queue="alerts", expires=10, channel=channel)

    def _send(self, name: str, *, queue: str, expires: float | None = None, **work: Any) -> None:
        if int(self._redis.llen(f"{self._prefix}{queue}")) >= MOST_WAITING:
            self._redis.hincrby(keys.COUNTERS, f"{DROPPED}:{queue}", 1)
            return
        kwargs = {"exchange": self._exchange, **work}
        with self._one_at_a_time:
            self._app.send_task(name, kwargs=kwargs, queue=queue, expires=expires, ignore_result=True)

"""How tasks are sent: by name, so that nothing in `app` imports a worker."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from celery import Celery

from app.batches import batched
from app.cache import keys
from app.cache.connection import connect
from app.settings import Settings
from app.touched import Touched

UPDATE = "workers.indicators.update"
DRAIN = "workers.repair.drain"
SCAN = "workers.repair.scan"
DELIVER = "workers.alerts.deliver"

SERIES_A_TASK = 128
"""With half as many, what tasks cost by themselves shows; with more, the first series would wait for the last."""

MOST_WAITING = 1_000
"""Tasks in a queue, from which on more are dropped, and counted: what they were for is found by the next scan, or by
beat's next tick. Workers that were away for days come back to minutes of work, and Redis does not fill up meanwhile."""

DROPPED = "tasks_dropped"


class Sender:
    """A Celery application that only sends, and never onto a pile."""

    def __init__(self) -> None:
        self._app = Celery("candlewick-sender")
        self._app.config_from_object("celeryconfig")
        self._prefix = self._app.conf.broker_transport_options["global_keyprefix"]
        self._redis = connect(Settings.from_environment().redis_url)

    def send(self, name: str, *, queue: str, expires: float | None = None, **kwargs: Any) -> None:
        """Raises kombu's `OperationalError` or redis' errors."""
        if int(self._redis.llen(f"{self._prefix}{queue}")) >= MOST_WAITING:
            self._redis.hincrby(keys.COUNTERS, f"{DROPPED}:{queue}", 1)
        else:
            self._app.send_task(name, kwargs=kwargs, queue=queue, expires=expires, ignore_result=True)


@cache
def sender() -> Sender:
    """That of this process."""
    return Sender()


def update(exchange: str, touched: Iterable[Touched]) -> None:
    """Have aggregates and indicators of the touched buckets computed."""
    for some in batched(touched, SERIES_A_TASK):
        sender().send(UPDATE, queue="indicators", exchange=exchange, touched=[list(t) for t in some])


def drain(exchange: str) -> None:
    """Have somebody look at the repair queue now."""
    sender().send(DRAIN, queue="backfill", expires=10, exchange=exchange)


def scan(exchange: str) -> None:
    """Have everything looked through for gaps now."""
    sender().send(SCAN, queue="backfill", expires=60, exchange=exchange, now=True)


def deliver(exchange: str, channel: str | None = None) -> None:
    """Have the messages of alerts that wait for `channel`, or for any, sent now."""
    sender().send(DELIVER, queue="alerts", expires=10, exchange=exchange, channel=channel)

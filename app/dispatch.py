"""How tasks are sent: by name, so that nothing in `app` imports a worker."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from celery import Celery

from app.batches import batched
from app.touched import Touched

UPDATE = "workers.indicators.update"
DRAIN = "workers.repair.drain"
SCAN = "workers.repair.scan"
DELIVER = "workers.alerts.deliver"

SERIES_A_TASK = 64
"""A task costs about as much as thirty series; a batch larger than this only delays its first series."""


@cache
def sender() -> Celery:
    """A Celery application that only sends."""
    app = Celery("candlewick-sender")
    app.config_from_object("celeryconfig")
    return app


def update(exchange: str, touched: Iterable[Touched]) -> None:
    """Have aggregates and indicators of the touched buckets computed."""
    for some in batched(touched, SERIES_A_TASK):
        _send(UPDATE, queue="indicators", exchange=exchange, touched=[list(t) for t in some])


def drain(exchange: str) -> None:
    """Have somebody look at the repair queue now."""
    _send(DRAIN, queue="backfill", expires=10, exchange=exchange)


def scan(exchange: str) -> None:
    """Have everything looked through for gaps now."""
    _send(SCAN, queue="backfill", expires=60, exchange=exchange, now=True)


def deliver(exchange: str, channel: str | None = None) -> None:
    """Have the messages of alerts that wait for `channel`, or for any, sent now."""
    _send(DELIVER, queue="alerts", expires=10, exchange=exchange, channel=channel)


def _send(name: str, *, queue: str, expires: float | None = None, **kwargs: Any) -> None:
    sender().send_task(name, kwargs=kwargs, queue=queue, expires=expires, ignore_result=True)

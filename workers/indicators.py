"""Tasks that compute."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.compute.computer import Computer
from app.delivery.delivery_trigger import DeliveryTrigger
from app.storage import rejected
from workers.app import ONCE_MORE, app, context
from workers.arguments import UpdateWork, parsed

log = logging.getLogger(__name__)


def _have_delivered(messages: int) -> None:
    log.debug("%d messages of alerts to deliver", messages)
    try:
        context().tasks.deliver()
    except (OperationalError, RedisError) as error:  # stored: the next sweep finds them
        log.warning("cannot request delivery of alerts: %s", error)


_delivery = DeliveryTrigger(_have_delivered)


@cache
def _computer() -> Computer:
    c = context()
    parts = c.candles, c.indicators, c.exchange, c.settings.timeframes
    return Computer(*parts, c.evaluator(), _delivery.found, c.evaluator)


@app.task(name="workers.indicators.update", **ONCE_MORE)
def update(**arguments: Any) -> None:
    """Compute aggregates and indicators of a batch of changed series."""
    work: UpdateWork = parsed(UpdateWork, arguments)
    started = time.perf_counter()
    clock = context().clock.read()
    rejected.note(context().redis, "series of a task", work.changed.bad)
    changed = work.as_ranges()
    # A close may arrive before the clock that it implies is written.
    now_s = max([clock.exchange_s if clock else 0, *(t.last_s + t.timeframe.seconds for t in changed)])
    try:
        new = _computer().update(changed, now_s)
    finally:
        _delivery.flush()
    log.debug("%d series changed, %d indicators new, %.1f ms", len(changed), new, 1e3 * (time.perf_counter() - started))

"""Tasks that compute."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.compute import Computer
from workers.app import ONCE_MORE, app, context
from workers.arguments import UpdateWork, parsed

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.05
"""How long messages of alerts may wait while their task finds more: each time that delivery is asked for takes 1.5 ms,
and a task of midnight finds some at every look."""


class _Delivery:
    """Asks for the delivery of what was found: at once, then now and then, and at the end of a task."""

    def __init__(self) -> None:
        self._messages = 0
        self._asked_s = -ASK_EVERY_S

    def found(self, messages: int) -> None:
        self._messages += messages
        if time.monotonic() - self._asked_s >= ASK_EVERY_S:
            self.ask()

    def ask(self) -> None:
        if not self._messages:
            return
        log.debug("%d messages of alerts to deliver", self._messages)
        self._messages, self._asked_s = 0, time.monotonic()
        try:
            context().tasks.deliver()
        except (OperationalError, RedisError) as error:  # they are stored; the next sweep finds them
            log.warning("delivery could not be asked for: %s", error)


_delivery = _Delivery()


@cache
def _computer() -> Computer:
    c = context()
    return Computer(c.candles, c.indicators, c.exchange, c.settings.timeframes, c.evaluator, _delivery.found)


@app.task(name="workers.indicators.update", **ONCE_MORE)
def update(**arguments: Any) -> None:
    """Aggregates and indicators of a batch of touched series."""
    work: UpdateWork = parsed(UpdateWork, arguments)
    started = time.perf_counter()
    clock = context().clock.read()
    touched = work.as_touched()
    # A close may be on its way before the clock that it implies is written.
    now_s = max([clock.exchange_s if clock else 0, *(t.last_s + t.timeframe.seconds for t in touched)])
    try:
        new = _computer().update(touched, now_s)
    finally:
        _delivery.ask()
    log.debug("%d series touched, %d indicators new, %.1f ms", len(touched), new, 1e3 * (time.perf_counter() - started))

"""Works through the repair queue, one permit and one page at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from app.context import Context
from app.errors import CandlewickError
from app.repair.filler import Filler
from app.touched import Touched

log = logging.getLogger(__name__)

CLOCK_TOO_OLD_MS = 10_000
"""A clock that nobody has heard for so long (real time) is asked for over REST."""

LONGEST_WAIT_S = 2.0
"""A permit further away than this is not waited for: the next call will see."""


class Drain:
    """What a backfill worker does. Any number may run at the same time, on any host."""

    def __init__(self, context: Context, on_news: Callable[[list[Touched]], None]) -> None:
        self._context = context
        self._filler = Filler(context, on_news)

    def run(self, *, max_s: float, stop: threading.Event | None = None) -> int:
        """Work until nothing is due, or `max_s` have passed; returns how many pages were asked for."""
        stop = stop or threading.Event()
        deadline, pages = time.monotonic() + max_s, 0
        while time.monotonic() < deadline and not stop.is_set():
            exchange_ms = self._exchange_ms()
            request = None if exchange_ms is None else self._context.queue.claim(exchange_ms)
            if request is None or exchange_ms is None:
                break
            need = self._filler.need(request, exchange_ms)
            if need is None:
                self._filler.release(request, exchange_ms)
            elif self._context.budget.acquire(timeout_s=LONGEST_WAIT_S, stop=stop):
                self._filler.work(request, need, exchange_ms)
                pages += 1
            else:
                self._context.queue.settle(request, exchange_ms)
                break
        return pages

    def _exchange_ms(self) -> int | None:
        """The exchange's time; too early rather than too late, so that nothing settles too soon."""
        known = self._context.clock.read()
        if known and known.age_ms <= CLOCK_TOO_OLD_MS:
            return known.exchange_ms
        if not self._context.queue.state().total:
            return None
        if not self._context.budget.acquire(timeout_s=LONGEST_WAIT_S):
            return None
        try:
            exchange_ms = self._context.rest.time_ms()
        except CandlewickError as error:
            log.warning("the exchange's time is not known: %s", error)
            return known.exchange_ms if known else None
        self._context.clock.tell(exchange_ms)
        return exchange_ms

"""Requests delivery while messages are still being found."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIGGER_EVERY_S = 0.05
"""How long messages may wait while more are found: each request for delivery takes 1.5 ms, and a task at midnight
finds messages at every check."""


class DeliveryTrigger:
    """Calls `trigger` at the first messages, then every `TRIGGER_EVERY_S` at most; `flush` requests the rest.

    `now_s`: real seconds that only grow.
    """

    def __init__(self, trigger: Callable[[int], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._trigger = trigger
        self._now_s = now_s
        self._messages = 0
        self._triggered_s = -TRIGGER_EVERY_S

    def found(self, messages: int) -> None:
        """`messages` more wait for delivery."""
        self._messages += messages
        if self._now_s() - self._triggered_s >= TRIGGER_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Request delivery now, if any wait."""
        messages, self._messages = self._messages, 0
        if messages:
            self._triggered_s = self._now_s()
            self._trigger(messages)

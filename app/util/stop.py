"""A wish to end that a signal handler may tell."""

from __future__ import annotations

import os
import select
import weakref
from math import ceil


class Stop:
    """Like `threading.Event`, whose lock its wait holds for a moment: a signal handler that sets it just then, in the
    same thread, stands still for ever. This is a pipe into which one byte is written, and which nobody empties.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        weakref.finalize(self, _close, self._read, self._write)

    def set(self) -> None:
        """From any thread or signal handler; more than once changes nothing."""
        if not self._is_set:
            self._is_set = True
            os.write(self._write, b".")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Returns when it is set, or after `timeout_s` real seconds; whether it is set."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if poll.poll(ceil(1000 * max(0.0, timeout_s))):
            self._is_set = True  # where it was another process that set it, from which this one was forked
        return self._is_set


def _close(*files: int) -> None:
    for file in files:
        os.close(file)

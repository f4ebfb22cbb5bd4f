"""Async-signal-safe stop flag (self-pipe)."""

from __future__ import annotations

import os
import select
import weakref
from math import ceil


class Stop:
    """Flag like `threading.Event`, but safe to set in a signal handler: one byte is written to a pipe and never read.

    `Event.wait` briefly holds a lock. A handler in the same thread that sets the event at that moment deadlocks.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        weakref.finalize(self, _close, self._read, self._write)

    def set(self) -> None:
        """Set the flag, from any thread or signal handler. Idempotent."""
        if not self._is_set:
            self._is_set = True
            os.write(self._write, b".")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` real seconds for the flag. Returns whether it is set."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if poll.poll(ceil(1000 * max(0.0, timeout_s))):
            self._is_set = True  # the process from which this one was forked may have set it
        return self._is_set


def _close(*files: int) -> None:
    for file in files:
        os.close(file)

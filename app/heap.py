"""All threads of a process use one heap.

With one of its own for each, as glibc gives them, what one thread frees is of no use to the next, and a process that
remembers answers grows by ten megabytes an hour of market, up to several times what it remembers.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8


def share() -> None:
    """From now on; to be called before there are threads. Does nothing where the C library is not glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)

"""Memory that a child of a worker needs no more goes back to the system.

What a burst of closes took lies between what stays, and glibc gives back the end of its heap only: so a child would
slowly grow to the sum of its largest bursts.
"""

from __future__ import annotations

import ctypes
import threading
import time

from celery.signals import worker_process_init

EVERY_S = 10.0
"""Real seconds: between two bursts of closes, which are minutes apart. Each takes a millisecond or two more."""


@worker_process_init.connect
def _begin(**_: object) -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # others than glibc do without
    if trim is not None:
        threading.Thread(target=_give_back, args=(trim,), name="memory", daemon=True).start()


def _give_back(trim: ctypes._NamedFuncPointer) -> None:
    while True:
        time.sleep(EVERY_S)
        trim(0)

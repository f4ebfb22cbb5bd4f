"""Returns free memory of a worker's child process to the system.

A burst of closes allocates between objects that stay, and glibc releases only the end of its heap. Without this, a
child slowly grows to the sum of its largest bursts.
"""

from __future__ import annotations

import ctypes
import threading
import time

from celery.signals import worker_process_init

EVERY_S = 10.0
"""Real seconds. Bursts of closes are minutes apart; each then takes a millisecond or two more."""


@worker_process_init.connect
def _begin(**_: object) -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is not None:
        threading.Thread(target=_give_back, args=(trim,), name="memory", daemon=True).start()


def _give_back(trim: ctypes._NamedFuncPointer) -> None:
    while True:
        time.sleep(EVERY_S)
        trim(0)

"""Runs a program that is told to end when its parent is gone, however the parent ended: `leash.py PROGRAM ARG…`.

Run as a file of its own, by `python -I`; imports nothing of this project, so it costs milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    if sys.platform == "linux":  # elsewhere a killed parent leaves its children
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

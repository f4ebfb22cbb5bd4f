"""Runs a program that receives SIGTERM when its parent exits, however the parent exits.

Run as a separate file (see `exits_with_parent`); it imports nothing of this project, so it costs milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def exits_with_parent(command: Sequence[str]) -> list[str]:
    """A command line that ends `command` with its parent: the thread that starts it, which must run as long."""
    return [sys.executable, "-I", "-S", __file__, *command]


def main() -> None:
    command = sys.argv[1:]
    if sys.platform == "linux":  # elsewhere, children of a killed parent keep running
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

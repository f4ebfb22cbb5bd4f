"""Runs a program that is told to end when its parent is gone, however the parent ended.

Run as a file of its own (see `exits_with_parent` and `supervisor_exits_with_parent`); it imports nothing of this
project, so it costs milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def exits_with_parent(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` so. Its parent is the thread that starts it, which must live as long."""
    return _line(signal.SIGTERM, command)


def supervisor_exits_with_parent(command: Sequence[str]) -> list[str]:
    """The same for a program that runs leashed ones. It is told by SIGINT, and hands SIGTERM down blocked.

    Else a child that is told to end after its fork and before its exec would take the signal for its parent's, and
    lose it. As it is, the signal waits until the child's own leash lets it in.
    """
    return _line(signal.SIGINT, command)


def _line(signum: signal.Signals, command: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", __file__, str(int(signum)), *command]


def main() -> None:
    signum, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":  # elsewhere a killed parent leaves its children
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    how = signal.SIG_UNBLOCK if signum == signal.SIGTERM else signal.SIG_BLOCK
    signal.pthread_sigmask(how, {signal.SIGTERM})
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

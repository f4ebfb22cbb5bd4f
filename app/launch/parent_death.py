"""Runs a program that is signalled when its parent exits, however the parent exits.

Run as a separate file (see `exits_with_parent` and `supervisor_exits_with_parent`); it imports nothing of this
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
    """A command line that ends `command` with its parent: the thread that starts it, which must run as long."""
    return _line(signal.SIGTERM, command)


def supervisor_exits_with_parent(command: Sequence[str]) -> list[str]:
    """The same for a supervisor of such programs. It receives SIGINT, and its children inherit SIGTERM blocked.

    Otherwise a child that receives SIGTERM between its fork and its exec would handle it as its parent does, and
    lose it. Blocked, the signal waits until `main` unblocks it in the child.
    """
    return _line(signal.SIGINT, command)


def _line(signum: signal.Signals, command: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", __file__, str(int(signum)), *command]


def main() -> None:
    signum, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":  # elsewhere, children of a killed parent keep running
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    how = signal.SIG_UNBLOCK if signum == signal.SIGTERM else signal.SIG_BLOCK
    signal.pthread_sigmask(how, {signal.SIGTERM})
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

"""The command line. Exit codes: 0 fine, 1 not ready or not found, 2 wrong input or settings, 3 Redis is not reachable.

Each command imports its dependencies when it runs, so that `--help` is fast.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from app.cli.arguments import parser
from app.cli.without_data import WITHOUT_DATA
from app.errors import CandlewickError, InvalidInput

OK, NOT_READY, WRONG, NO_REDIS = 0, 1, 2, 3


def command() -> NoReturn:
    """Run the command of this process and exit with its code."""
    gc.set_threshold(10_000, 2, 2)  # a command imports tens of thousands of objects, none of them garbage
    code = main()
    gc.freeze()  # and no collection at exit: both took a fifth of a short command's time
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Every error is one line on stderr."""
    arguments = parser().parse_args(argv)
    try:
        if without_data := WITHOUT_DATA.get(arguments.command):
            return without_data(arguments)
        from app.cli import commands

        return commands.run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if explained := _explained(error):
            message, code = explained
            print(f"error: {message}", file=sys.stderr)
            return code
        raise


def _explained(error: Exception) -> tuple[str, int] | None:
    """The text and the exit code of an expected error; None for any other."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    from app.query.lookup import NotFollowed
    from app.storage.master import EXPLAINED

    match error:
        case NotFollowed():
            return str(error), NOT_READY
        case CandlewickError():
            return str(error), WRONG if isinstance(error, InvalidInput) else NOT_READY
        case _ if isinstance(error, EXPLAINED):
            return str(error), NO_REDIS
        case RedisError() | OperationalError():
            reason = str(error).rstrip(".")
            return f"Redis cannot be reached: {reason}; is it running, and is REDIS_URL right?", NO_REDIS
    return None

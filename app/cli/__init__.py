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
    except CandlewickError as error:
        return _failed(str(error), WRONG if _is_input(error) else NOT_READY)
    except Exception as error:
        if _is_explained(error):
            return _failed(str(error), NO_REDIS)
        if _is_redis(error):
            return _failed(
                f"Redis cannot be reached: {str(error).rstrip('.')}; is it running, and is REDIS_URL right?", NO_REDIS
            )
        raise


def _failed(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _is_input(error: CandlewickError) -> bool:
    from app.query.lookup import NotFollowed

    return isinstance(error, InvalidInput) and not isinstance(error, NotFollowed)


def _is_explained(error: Exception) -> bool:
    from app.storage.master import EXPLAINED

    return isinstance(error, EXPLAINED)


def _is_redis(error: Exception) -> bool:
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    return isinstance(error, RedisError | OperationalError)

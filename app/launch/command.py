"""Arguments of `demo` and `run`, and what these commands do."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

READY_WITHIN_S = 300.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a launch, which `launch` takes."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder for data, logs and sockets")
    parser.add_argument("--procfile", type=Path, metavar="FILE", help="which processes (default: the program's own)")
    parser.add_argument(
        "--until-ready",
        type=_seconds,
        nargs="?",
        const=READY_WITHIN_S,
        metavar="SECONDS",
        help=f"stop after the first new indicator, for CI; fail if there is none in time (default: {READY_WITHIN_S:g})",
    )


def launch(market: str, arguments: argparse.Namespace) -> int:
    """Run everything until a signal. Exit code: 0 after a clean stop, 1 if something failed, 2 for wrong input."""
    from app.errors import InvalidInput, Unready
    from app.launch import plan
    from app.launch.launcher import Launcher

    try:
        chosen = plan.make(plan.ExchangeChoice(market), arguments.procfile, arguments.data, os.environ)
        return Launcher(chosen, arguments.until_ready).run()
    except InvalidInput as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 2
    except Unready as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 86400 seconds")
    return seconds

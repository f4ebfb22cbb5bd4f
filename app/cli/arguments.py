"""Commands of the command line, their arguments and `--help` texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import NoReturn, TypeVar

from app.errors import InvalidInput
from app.market.timeframes import BASE, Timeframe
from app.util.timestamps import parse_time

T = TypeVar("T")

EPILOG = """exit codes: 0 fine, 1 not ready or not found, 2 wrong input or settings, 3 Redis is not reachable.
Settings come from the environment, .env and candlewick.toml; `candlewick config` shows them."""


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, as every command does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line. Parsing exits with code 2 if it is wrong."""
    top = _Parser(
        prog="python -m app",
        description="Candles and MACD-V of every followed product, and the state of the data.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, about: str, *, json: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        if json:
            command.add_argument("--json", action="store_true", help="for programs: the API's JSON")
        return command

    status = add("status", "is the data complete and current, and if not, why?")
    status.add_argument("--watch", action="store_true", help="refresh it until Ctrl-C")
    add("products", "the followed products with their newest indicators")
    _candles(add("candles", "candles of one product, oldest first"))
    _indicators(add("indicators", "MACD-V of one product, oldest first"))
    _series(add("watch", "candles and indicators of one product, live; into a pipe, one line per event"))
    _export(add("export", "closed candles of one product, as CSV or Parquet", json=False))
    add("gaps", "missing candles, and the requests for them")
    _backfill(add("backfill", "fetch history of one product, with its progress", json=False))
    _alerts(add("alerts", "alerts, newest first, and the state of their channels"))
    reconcile = add("reconcile", "compare the newest candles of all products with the exchange now", json=False)
    reconcile.add_argument("when", nargs="?", choices=["now"], default="now", help="when: now")
    config = add("config", "every setting, its value and where it came from")
    config.add_argument("--check", action="store_true", help="only whether they are right; for CI")
    add("ingest", "run an ingest process: from the exchange's stream to Redis", json=False)
    add("web", "run a web process: the API and the pages", json=False)
    add("watchdog", "kill stalled processes of this host, for a supervisor to restart", json=False)
    add("flower", "run Flower: workers and queues in a browser", json=False)
    return top


def _candles(command: argparse.ArgumentParser) -> None:
    _series(command)
    _range(command)
    command.add_argument(
        "--limit", type=int, metavar="N", help="the newest N (500), or with --start the first N from there (all)"
    )


def _indicators(command: argparse.ArgumentParser) -> None:
    _series(command)
    command.add_argument("--limit", type=int, default=100, metavar="N", help="the newest N values (%(default)s)")


def _export(command: argparse.ArgumentParser) -> None:
    _series(command)
    _range(command)
    command.add_argument("--format", choices=("csv", "parquet"), default="csv", help="default: %(default)s")
    command.add_argument("--output", type=Path, metavar="FILE", help="default: stdout")


def _range(command: argparse.ArgumentParser) -> None:
    moment = "UNIX seconds or ISO 8601, aligned to the timeframe"
    command.add_argument("--start", type=_checked(parse_time), metavar="TIME", help=f"first bucket: {moment}")
    command.add_argument("--end", type=_checked(parse_time), metavar="TIME", help="last bucket, inclusive")


def _backfill(command: argparse.ArgumentParser) -> None:
    _series(command)
    command.add_argument("--days", type=_checked(_days), required=True, metavar="N", help="how far back from now")


def _series(command: argparse.ArgumentParser) -> None:
    command.add_argument("product", metavar="PRODUCT", help="for example BTC-USD")
    command.add_argument(
        "timeframe",
        type=_checked(Timeframe.parse),
        nargs="?",
        default=BASE,
        metavar="TIMEFRAME",
        help=f"{', '.join(Timeframe)} (default: {BASE})",
    )


def _alerts(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", metavar="[test|enable CHANNEL]")
    for name, about in (
        ("test", "send an example over a channel; if it is delivered, a disabled channel is enabled"),
        ("enable", "let a disabled or paused channel retry"),
    ):
        action = actions.add_parser(name, help=about, description=about, allow_abbrev=False)
        action.add_argument("channel", metavar="CHANNEL", help="its name in candlewick.toml")
    command.add_argument("--product", metavar="PRODUCT", help="only this product")
    command.add_argument("--timeframe", type=_checked(Timeframe.parse), metavar="TIMEFRAME", help="only this timeframe")
    command.add_argument("--rule", metavar="NAME", help="only alerts of this rule")
    command.add_argument(
        "--since", type=_checked(parse_time), metavar="TIME", help="only bars that ended then or later"
    )
    command.add_argument("--limit", type=int, default=50, metavar="N", help="the newest N (%(default)s)")
    command.add_argument("--cursor", metavar="CURSOR", help="continue after the previous page")


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not (isfinite(days) and days > 0):
        raise InvalidInput(f"invalid number of days {text[:40]!r}: must be above 0")
    return days


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """`parse` for argparse: reports the reason if it refuses."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except InvalidInput as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked

"""Commands of the command line, their arguments and `--help` texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import NoReturn, TypeVar

from app.errors import InvalidInput
from app.launch.command import add_arguments as add_launch_arguments
from app.market.timeframes import BASE, Timeframe
from app.util.timestamps import parse_time
from candlewick import __version__

T = TypeVar("T")

EPILOG = """exit codes: 0 fine, 1 not ready or not found, 2 wrong input or settings, 3 Redis is not reachable.
Commands find the running installation of this folder or user; REDIS_URL names another one. Settings come from the
environment, .env and candlewick.toml; `candlewick config` shows them."""

SHELLS = ("bash", "zsh", "fish")
WORKERS = ("indicators", "backfill", "alerts")


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, as every command does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


class CommandLine(_Parser):
    """The whole command line; its help lists the commands in groups."""

    def __init__(self) -> None:
        super().__init__(
            prog="candlewick", description="Live candles and MACD-V of every followed product.", allow_abbrev=False
        )
        self.add_argument("--version", action="version", version=f"candlewick {__version__}")
        self.groups: dict[str, dict[str, argparse.ArgumentParser]] = {}
        self._commands = self.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(self, group: str, name: str, about: str, *, json: bool = False) -> argparse.ArgumentParser:
        """Add a command. `json`: it has the option --json."""
        command: argparse.ArgumentParser = self._commands.add_parser(
            name, help=about, description=about, allow_abbrev=False
        )
        if json:
            command.add_argument("--json", action="store_true", help="for programs: the API's JSON")
        return self.groups.setdefault(group, {}).setdefault(name, command)

    def format_help(self) -> str:
        lines = ["usage: candlewick COMMAND …", "", str(self.description)]
        for group, commands in self.groups.items():
            lines += ["", f"{group}:"]
            lines += [f"  {name:<12} {command.description}" for name, command in commands.items()]
        return "\n".join([*lines, "", "candlewick COMMAND --help: its arguments; candlewick --version", "", EPILOG, ""])


def parser() -> CommandLine:
    """The whole command line. Parsing exits with code 2 if it is wrong."""
    top = CommandLine()
    _add_launches(top)
    _add_reads(top)
    _add_requests(top)
    _add_checks(top)
    _add_processes(top)
    completion = top.command(
        "shell", "completion", "print the completion script of a shell, whose first lines say how to install it"
    )
    completion.add_argument("shell", choices=SHELLS)
    return top


def _add_launches(top: CommandLine) -> None:
    group = "run everything, until Ctrl-C"
    for name, about in (
        ("demo", "the whole system on an invented market on this machine, at 60 times real speed"),
        ("run", "the whole system on the exchange's public feed; no API key needed"),
    ):
        add_launch_arguments(top.command(group, name, about))


def _add_reads(top: CommandLine) -> None:
    def add(name: str, about: str, *, json: bool = True) -> argparse.ArgumentParser:
        command = top.command("read from a running system", name, about, json=json)
        _installation(command)
        return command

    status = add("status", "is the data complete and current, and if not, why?")
    status.add_argument("--watch", action="store_true", help="refresh it until Ctrl-C")
    add("products", "the followed products with their newest indicators")
    _candles(add("candles", "candles of one product, oldest first"))
    _indicators(add("indicators", "MACD-V of one product, oldest first"))
    _series(add("watch", "candles and indicators of one product, live; into a pipe, one line per event"))
    _export(add("export", "closed candles of one product, as CSV or Parquet", json=False))
    add("gaps", "missing candles, and the requests for them")
    _alerts(add("alerts", "alerts, newest first, and the state of their channels; test or enable a channel"))


def _add_requests(top: CommandLine) -> None:
    group = "request work from a running system"
    backfill = top.command(group, "backfill", "fetch history of one product, with its progress")
    _backfill(backfill)
    reconcile = top.command(group, "reconcile", "compare the newest candles of all products with the exchange now")
    reconcile.add_argument("when", nargs="?", choices=["now"], default="now", help="when: now")
    reload = top.command(group, "reload", "apply the alert rules and channels of candlewick.toml to the running system")
    for command in (backfill, reconcile, reload):
        _installation(command)


def _add_checks(top: CommandLine) -> None:
    group = "check settings, this machine and the exchange"
    config = top.command(group, "config", "every setting, its value and where it came from", json=True)
    config.add_argument("--check", action="store_true", help="only whether they are right; for CI")
    about = "observe the exchange: does it behave as this software assumes? Check this machine, too"
    _doctor(top.command(group, "doctor", about, json=True))


def _add_processes(top: CommandLine) -> None:
    """Processes that `demo` and `run` start; on several hosts, or with another supervisor, they are started singly."""
    group = "run one process of an installation, for a supervisor"
    top.command(group, "ingest", "from the exchange's stream to Redis")
    worker = top.command(group, "worker", "a Celery worker: computes indicators, fetches candles or delivers alerts")
    worker.add_argument("name", choices=WORKERS, metavar="NAME", help=", ".join(WORKERS))
    top.command(group, "beat", "the scheduler of periodic tasks")
    top.command(group, "web", "the API and the pages")
    watchdog = top.command(group, "watchdog", "kills stalled processes of this host, for their supervisor to restart")
    watchdog.add_argument(
        "--once", action="store_true", help="check once, as the health check of a container; exit code 1 if one stalled"
    )
    top.command(group, "flower", "Flower: workers and queues in a browser")


def _installation(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--installation",
        metavar="NAME",
        help="which running one, if several are: demo, run, or its data folder (`--data` is the same)",
    )
    command.add_argument("--data", dest="installation", metavar="DIR", help=argparse.SUPPRESS)


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


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--minutes", type=_checked(_minutes), default=15.0, metavar="N", help="of exchange time to listen (%(default)g)"
    )
    command.add_argument("--record", type=Path, metavar="FILE", help="record all frames and responses (gzip)")
    command.epilog = (
        "exit codes: 0 all that was seen holds, 1 something does not, 2 an exchange cannot be reached. No installation "
        "has to run. It uses the request limit of its own: stop an installation on this address, or share the rate."
    )


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
    return _amount(text, "days")


def _minutes(text: str) -> float:
    return _amount(text, "minutes")


def _amount(text: str, unit: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not (isfinite(amount) and amount > 0):
        raise InvalidInput(f"invalid number of {unit} {text[:40]!r}: must be above 0")
    return amount


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """`parse` for argparse: reports the reason if it refuses."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except InvalidInput as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked

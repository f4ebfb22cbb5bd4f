"""Commands that read no data: they start processes, or print settings or the completion of a shell."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from app.cli.arguments import parser
from app.market.timeframes import Timeframe


def demo(arguments: argparse.Namespace) -> int:
    from app.launch.command import launch

    return launch("demo", arguments)


def run(arguments: argparse.Namespace) -> int:
    from app.launch.command import launch

    return launch("run", arguments)


def worker(arguments: argparse.Namespace) -> int:
    _become(arguments.name)


def beat(_: argparse.Namespace) -> int:
    _become("beat")


def _become(name: str) -> NoReturn:
    """Replace this process by the one of the Procfile, so that a supervisor controls it directly."""
    from app.launch import places, procfile

    command = f"exec {procfile.read(places.PROCFILE)[name]}"
    os.execve("/bin/sh", ["sh", "-c", command], places.own_environment(os.environ))


def config(arguments: argparse.Namespace) -> int:
    from app.cli.config import config

    config(arguments)
    return 0


def completion(arguments: argparse.Namespace) -> int:
    import shtab

    top = parser()
    for action in _actions(top):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest == "timeframe":
            action.choices = list(Timeframe)
    print(shtab.complete(top, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of `parser` and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


WITHOUT_DATA: dict[str, Callable[[argparse.Namespace], int]] = {
    f.__name__: f for f in (demo, run, worker, beat, config, completion)
}

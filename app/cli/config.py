"""`candlewick config`: each setting, its value and where it came from; or only whether all are right."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from app.bind_checks import check_flower, check_web
from app.errors import InvalidInput
from app.settings import Settings
from app.settings.show import as_json, rows
from app.util.numbers import plain_json


def config(arguments: Namespace) -> None:
    """Print the settings. Raises `InvalidInput` with every problem."""
    settings = Settings.from_environment()
    if arguments.check:
        _check(settings)
    elif arguments.json:
        sys.stdout.write(plain_json([as_json(row) for row in rows(settings)]).decode() + "\n")
    else:
        from app.cli import tables

        tables.config(list(rows(settings)))


def _check(settings: Settings) -> None:
    """Raises `InvalidInput` also if a process would not start; warns of rules that would never raise an alert."""
    if problems := list(_unprotected(settings)):
        raise InvalidInput("\n  ".join(["settings are wrong:", *problems]))
    for why in settings.unfollowed():
        print(f"warning: {why}", file=sys.stderr)
    print("the settings are right")


def _unprotected(settings: Settings) -> Iterator[str]:
    for check in (check_web, check_flower):
        try:
            check(settings)
        except InvalidInput as error:
            yield str(error)

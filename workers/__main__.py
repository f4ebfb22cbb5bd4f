"""Celery's `worker` and `beat` commands, and Flower: python -m workers worker -Q indicators

Options are their own. Celery's full command line loads Flower and an AMQP shell into every process, and searches the
current folder for modules first.
"""

from __future__ import annotations

import sys

import click
from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker

from app.errors import InvalidInput
from app.settings import Settings

try:
    from workers.app import app, context
except InvalidInput as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

COMMANDS = click.Group("workers", commands=[worker, beat], help="The processes that Celery runs.")
if sys.argv[1:2] == ["flower"]:
    from workers.flower import flower

    COMMANDS.add_command(flower)

CONCURRENCY = {"indicators": "indicator_processes", "backfill": "backfill_threads", "alerts": "alert_threads"}
"""The setting with the processes or threads of a worker, by a queue that it takes tasks from."""


def with_concurrency(arguments: list[str], settings: Settings) -> list[str]:
    """`arguments`, with the number of processes or threads of the settings unless `-c` names another."""
    is_given = any(argument.startswith(("-c", "--concurrency")) for argument in arguments)
    if arguments[:1] != ["worker"] or is_given or "-Q" not in arguments[:-1]:
        return arguments
    queue = arguments[arguments.index("-Q") + 1].split(",")[0]
    return [*arguments, "-c", str(getattr(settings, CONCURRENCY[queue]))] if queue in CONCURRENCY else arguments


if __name__ == "__main__":
    arguments = with_concurrency(sys.argv[1:], context().settings)
    sys.argv[:1] = ["-m", "workers"]  # Celery restarts Python with these arguments on SIGHUP
    COMMANDS(arguments, prog_name="python -m workers", obj=CLIContext(app=app, no_color=None, workdir=None))

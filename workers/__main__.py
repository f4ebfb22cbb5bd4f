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

try:
    from workers.app import app
except InvalidInput as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

COMMANDS = click.Group("workers", commands=[worker, beat], help="The processes that Celery runs.")
if sys.argv[1:2] == ["flower"]:
    from workers.flower import flower

    COMMANDS.add_command(flower)

if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.argv[:1] = ["-m", "workers"]  # Celery restarts Python with these arguments on SIGHUP
    COMMANDS(arguments, prog_name="python -m workers", obj=CLIContext(app=app, no_color=None, workdir=None))

"""Celery's `worker` and `beat`, and no other of its commands: python -m workers worker -Q indicators

Options are Celery's own. Its whole command line loads Flower and a shell for AMQP into every process.
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
    sys.exit(f"error: {error}")

COMMANDS = click.Group("workers", commands=[worker, beat], help="The processes that Celery runs.")

if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.argv[:1] = ["-m", "workers"]  # what Celery gives to Python when a SIGHUP lets it start anew
    COMMANDS(arguments, prog_name="python -m workers", obj=CLIContext(app=app, no_color=None, workdir=None))

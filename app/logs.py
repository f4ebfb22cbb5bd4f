"""How every process logs: one line an event, to stderr."""

from __future__ import annotations

import logging
import sys
import time

QUIET = (
    "celery.app.trace",
    "celery.worker.request",
    "celery.worker.strategy",
    "celery.beat",
    "kombu",
    "urllib3",
    "tornado.access",
    "uvicorn.access",
)
"""Loggers that write a line for each task, request or tick; what matters in them is a warning."""


def configure(level: str, process: str) -> None:
    """Send the root logger to stderr as `time LEVEL process logger: message`, in UTC."""
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {process} %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))

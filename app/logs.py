"""How every process logs: one line an event, to stderr, for people or for programs."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime

import orjson

from app.settings import Settings

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

KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; the rest was given with `extra=`."""


def configure(settings: Settings, process: str) -> None:
    """Send the root logger to stderr, as LOG_FORMAT and LOG_LEVEL say; `process` is what this one is called."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if settings.log_format == "json" else _text(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _text(process: str) -> logging.Formatter:
    """`time LEVEL process logger: message`, in UTC."""
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {process} %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    return formatter


class _Json(logging.Formatter):
    """One object a line: time, level, process, logger, message, what was given with `extra=`, and a traceback."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in KNOWN},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()

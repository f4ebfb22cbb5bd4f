"""Logging of every process: one line per record, to stderr, as text or JSON."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime

import orjson

from app.settings import Settings
from app.util.quoting import MAX_NAME, readable

log = logging.getLogger(__name__)

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
"""Loggers that write a line per task, request or tick; only their warnings are kept."""

KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of every record; others come from `extra=`."""


def configure(settings: Settings, process: str) -> None:
    """Send the root logger to stderr, as the settings say; `process` is this process's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if settings.log_format == "json" else _Text(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    if settings.reading.ignored:
        names = ", ".join(readable(name, MAX_NAME) for name in settings.reading.ignored)
        log.info("ignored: %s: made by a container platform for services called candlewick", names)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class _Text(logging.Formatter):
    """`time LEVEL process logger: message`, in UTC. Line ends in a message are escaped: it stays one line."""

    def __init__(self, process: str) -> None:
        form = f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {process} %(name)s: %(message)s"
        super().__init__(form, datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return super().formatMessage(record).translate(_ESCAPED)


_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029) if chr(code) != "\t"}
_ESCAPED[ord("\n")] = "\\n"
"""Characters that could end a line of the log, or control a terminal."""


class _Json(logging.Formatter):
    """One object per line: time, level, process, logger, message, the fields of `extra=`, and a traceback."""

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

"""One line per event, for people or for programs."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import orjson
import pytest

from app import logs
from app.settings import Settings


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def test_json_is_one_complete_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"), "ingest")
    log = logging.getLogger("app.some")
    log.info("gap of %d\nbuckets", 3, extra={"product": "BTC-USD"})
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("failed")
    log.debug("not said")
    first, second = map(orjson.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO",
        "process": "ingest",
        "logger": "app.some",
        "message": "gap of 3\nbuckets",
        "product": "BTC-USD",
    }
    assert (second["level"], second["message"]) == ("ERROR", "failed")
    assert second["traceback"].endswith("ValueError: no")


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_level="WARNING"), "worker")
    logging.getLogger("app.some").info("not said")
    logging.getLogger("app.some").warning("said")
    assert capsys.readouterr().err[24:] == " WARNING worker app.some: said\n"


def test_messages_of_others_are_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(), "worker")
    logging.getLogger("app.some").warning("the exchange says: %s", "no\n2026 ERROR worker: forged\r\x1b[2J\x85\u2028")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("the exchange says: no\\n2026 ERROR worker: forged\\x0d\\x1b[2J\\x85\\x2028")
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("app.some").exception("failed")
    assert len(capsys.readouterr().err.splitlines()) > 3, "a traceback has its lines"


def test_lines_per_task_or_request_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(), "worker")
    for name in logs.QUIET:
        logging.getLogger(name).info("task received")
    assert capsys.readouterr().err == ""

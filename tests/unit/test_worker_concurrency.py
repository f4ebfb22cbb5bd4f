"""Workers take their number of processes or threads from the settings."""

from __future__ import annotations

import shlex

import pytest

from app.launch import procfile
from app.settings import Settings
from tests.support import ROOT
from workers.__main__ import with_concurrency

SETTINGS = Settings(indicator_processes=3, backfill_threads=5, alert_threads=7)


@pytest.mark.parametrize(("name", "count"), [("indicators", "3"), ("backfill", "5"), ("alerts", "7")])
def test_each_worker_of_the_procfile_has_its_setting(name: str, count: str) -> None:
    words = shlex.split(procfile.read(ROOT / "Procfile")[name])
    arguments = words[words.index("workers") + 1 :]
    assert with_concurrency(arguments, SETTINGS) == [*arguments, "-c", count]


@pytest.mark.parametrize("form", ["-c 9", "-c9", "--concurrency 9", "--concurrency=9"])
def test_a_number_on_the_command_line_wins(form: str) -> None:
    line = f"worker -Q indicators {form}".split()
    assert with_concurrency(line, SETTINGS) == line


@pytest.mark.parametrize("line", ["beat --pidfile=", "worker -Q indicators -c 9", "worker -Q default", "worker"])
def test_other_commands_are_left_alone(line: str) -> None:
    assert with_concurrency(line.split(), SETTINGS) == line.split()

"""Reading the Procfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.launch.procfile import read
from tests.support import ROOT


def _write(folder: Path, text: str) -> Path:
    path = folder / "Procfile"
    path.write_text(text)
    return path


def test_commands_by_name_in_order(tmp_path: Path) -> None:
    text = "# who runs\n\nweb: python -m app web\nworker-2:env A=1 celery -n w@%h -c ${N:-2} -l 'a b'  \n"
    assert list(read(_write(tmp_path, text)).items()) == [
        ("web", "python -m app web"),
        ("worker-2", "env A=1 celery -n w@%h -c ${N:-2} -l 'a b'"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("web python", "1.*is not `name: command`"),
        ("web:", "is not `name: command`"),
        (" web: a", "is not `name: command`"),
        ("2web: a", "is not `name: command`"),
        ("we.b: a", "is not `name: command`"),
        ("web: a\n\nweb: b", "Procfile:3: a second process is called 'web'"),
        ("web: a 'b", "web: No closing quotation"),
        ("web: a && b", "'&&' is not allowed"),
        ("web: a; b", "';' is not allowed"),
        ("web: a | b", "is not allowed"),
        ("web: a > b", "is not allowed"),
        ("web: a &", "is not allowed"),
        ("web: a $(b)", "is not allowed"),
        ("web: a `b`", "is not allowed"),
        ("web: a # b", "'#' is not allowed"),
        ("web: A=1 b", "env NAME=value program"),
        ("# nothing\n", "names no process"),
        ("", "names no process"),
    ],
)
def test_ambiguous_lines_are_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read(_write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="none: cannot be read"):
        read(tmp_path / "none")


def test_our_own_is_valid() -> None:
    assert set(read(ROOT / "Procfile")) >= {"web", "ingest", "indicators", "backfill", "beat", "flower"}


def test_ours_runs_the_watchdog_and_all_watched_processes() -> None:
    watched = {"ingest", "indicators", "backfill", "alerts", "beat", "web"}
    assert watched | {"watchdog"} <= set(read(ROOT / "Procfile"))

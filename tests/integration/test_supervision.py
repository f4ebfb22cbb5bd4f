"""Programs that are kept running, and how they are stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from app.launch import supervision
from app.launch.supervision import Supervisor
from tests.support import eventually

pytestmark = pytest.mark.integration

Supervise = Callable[..., Supervisor]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Starts groups of shell commands."""
    started: list[Supervisor] = []

    def start(*groups: dict[str, str]) -> Supervisor:
        started.append(Supervisor(groups, tmp_path, tmp_path, os.environ))
        started[-1].start([name for group in groups for name in group])
        return started[-1]

    yield start
    for supervisor in started:
        supervisor.stop()


def test_a_program_that_ignores_the_request_to_stop_is_killed_with_its_children(
    supervise: Supervise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "STOP_S", 0.5)
    supervisor = supervise({"deaf": "sh -c 'trap \"\" TERM; sleep 600 & echo $! >child; wait'"})
    child = psutil.Process(eventually(lambda: int((tmp_path / "child").read_text())))
    assert not supervisor.stop()
    with suppress(psutil.NoSuchProcess):
        child.wait(timeout=20)


def test_groups_stop_in_reverse_order(supervise: Supervise, tmp_path: Path) -> None:
    last = "sh -c 'trap \"ls >seen; exit\" TERM; touch ready; while :; do sleep 0.02; done'"
    other = "sh -c 'trap \"touch ended; exit\" TERM; touch up; while :; do sleep 0.02; done'"
    supervisor = supervise({"last": last}, {"other": other})
    eventually(lambda: (tmp_path / "ready").exists() and (tmp_path / "up").exists())
    assert supervisor.stop()
    assert "ended" in (tmp_path / "seen").read_text().split()


def test_a_program_that_exits_at_once_is_restarted_after_pauses(supervise: Supervise, tmp_path: Path) -> None:
    program = supervise({"brief": "sh -c 'echo again; exit 3'"}).programs[0]
    eventually(lambda: program.exits >= 3)
    assert program.exit_code == 3
    assert (tmp_path / "brief.log").read_text().split() == ["again"] * program.exits
    assert program._backoff.failures == program.exits


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_every_program_is_stopped_if_supervision_fails(supervise: Supervise, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = supervise({"idle": "sleep 600"})
    process = eventually(lambda: supervisor.programs[0].process)
    monkeypatch.setattr(supervision, "select", None)
    eventually(lambda: not supervisor.is_alive)
    eventually(lambda: process.poll() is not None)

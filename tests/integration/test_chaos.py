"""One seed of the fault harness; `make chaos` runs any number."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.catalogue import catalogue
from tests.faults.chaos import SEED_TIMEOUT_S, schedule
from tests.support import PATIENCE_S, Process

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.1)]

SEED = "18"
"""REST that is short, empty and a day late, two days of downtime, a Redis without its file, and a wrong clock."""


def test_after_faults_of_every_kind_everything_is_the_truth(processes: Callable[..., Process], tmp_path: Path) -> None:
    harness = processes([sys.executable, "-m", "tests.faults.chaos", SEED, "--keep", str(tmp_path)])
    assert harness.wait(SEED_TIMEOUT_S + PATIENCE_S) == 0, harness.output()


def test_a_seed_makes_the_same_faults_every_time_and_each_fault_has_its_turn() -> None:
    assert schedule(17) == schedule(17) != schedule(18)
    known = catalogue()
    struck = {fault.name for seed in range(len(known)) for _, fault in schedule(seed)}
    assert struck == {fault.name for fault in known}

"""Fifty seeds of the simulation; `make simulate` runs as many as you like."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.support import Process

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=4.0)]

SEEDS = "1-50"


def test_after_any_faults_everything_is_the_truth(processes: Callable[..., Process]) -> None:
    simulation = processes([sys.executable, "-m", "tests.simulation", SEEDS, "--small", "--no-shrink"])
    assert simulation.wait(timeout=250) == 0, simulation.output()


def test_a_seed_is_the_same_every_time_and_in_every_process(processes: Callable[..., Process]) -> None:
    first, second = (processes([sys.executable, "-m", "tests.simulation", "3", "--small", "--twice"]) for _ in range(2))
    assert first.wait(timeout=40) == second.wait(timeout=40) == 0, first.output() + second.output()
    assert first.output() == second.output()

"""Some seeds of the simulation; `make simulate` runs any number."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.support import Process

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=4.0)]

SEEDS = "1-50"
LIMIT_S = 3_600
SILENT = ("729", "1402", "1984")
"""Full seeds in which a server returns rows of another product for one that has not traded for longer than a page."""


def test_after_any_faults_everything_is_the_truth(processes: Callable[..., Process]) -> None:
    simulation = processes([sys.executable, "-m", "tests.simulation", SEEDS, "--small", "--no-shrink"])
    assert simulation.wait(LIMIT_S) == 0, simulation.output()


def test_rows_of_another_product_are_not_certain_without_a_second_response(
    processes: Callable[..., Process],
) -> None:
    simulation = processes([sys.executable, "-m", "tests.simulation", *SILENT, "--no-shrink"])
    assert simulation.wait(LIMIT_S) == 0, simulation.output()


def test_a_seed_is_the_same_every_time_and_in_every_process(processes: Callable[..., Process]) -> None:
    first, second = (processes([sys.executable, "-m", "tests.simulation", "3", "--small", "--twice"]) for _ in range(2))
    assert first.wait(LIMIT_S) == second.wait(LIMIT_S) == 0, first.output() + second.output()
    assert first.output() == second.output()

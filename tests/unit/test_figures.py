"""Figures of the benchmarks: a busy machine, on which everything takes longer, changes no verdict."""

from __future__ import annotations

from itertools import count

import pytest

from benchmarks.figures import Figure
from benchmarks.yardstick import alternate


@pytest.mark.parametrize("slower", [1, 10])
def test_the_verdict_depends_on_the_ratio_only(slower: int) -> None:
    values, yards = [30.0 * slower, 40.0 * slower, 90.0 * slower], [10.0 * slower, 20.0 * slower, 30.0 * slower]
    assert Figure("restart", "s", 3, values, "starts", yards).verdict == "met"
    assert Figure("restart", "s", 2.9, values, "starts", yards).verdict == "MISSED"
    assert Figure("rate", "per second", 3.1, values, "rate", yards, "higher").verdict == "MISSED"


def test_a_count_has_no_yardstick() -> None:
    assert Figure("429 responses", "", 0, [0]).verdict == "met"
    assert Figure("429 responses", "", 0, [1]).verdict == "MISSED"


def test_without_a_target_nothing_is_missed() -> None:
    figure = Figure("delay", "ms", None, [1e9])
    assert figure.is_reached
    assert figure.verdict == "informative"


def test_the_yardstick_is_measured_right_before_and_after_each_run() -> None:
    numbers = count()
    results, yards = alternate(lambda: float(next(numbers)), lambda: next(numbers), 2)
    assert results == [3, 5]
    assert yards == [3, 5]

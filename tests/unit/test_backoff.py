"""Waits after failures in a row."""

from __future__ import annotations

import random

import pytest

from app.util import backoff
from app.util.backoff import Backoff, delay_s, jittered_s


def test_the_wait_grows_to_its_bound_and_begins_again_after_a_success() -> None:
    waits = Backoff(first_s=1, max_s=30)
    assert [waits.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    waits.reset()
    assert waits.next_s() == 1


def test_the_jitter_takes_up_to_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    for seed in range(200):
        monkeypatch.setattr(backoff, "random", random.Random(seed))
        waits.append(jittered_s(6, first_s=1, max_s=30))
    assert 15 <= min(waits) < 16
    assert 29 < max(waits) <= 30


def test_a_process_that_failed_for_days_waits_no_longer_than_the_bound() -> None:
    assert delay_s(5_000, first_s=0.5, max_s=30) == 30

"""Limits and waits, on a clock that the test moves."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchange.coinbase.pacing import AwakeClock, Backoff, Limiter


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 0.7), min_size=1, max_size=60), st.integers(1, 8))
def test_never_more_than_the_limit_in_any_second(pauses: list[float], count: int) -> None:
    time = Time()
    limiter = Limiter(count, time)
    granted = []
    for pause in pauses:
        time.now += pause
        granted.append(time.now + limiter.reserve())
    assert granted == sorted(granted), "first come, first served"
    for i, at in enumerate(granted[count:]):
        assert at - granted[i] > 1.199_999, "the network may take a fifth of a second longer for one than for another"


def test_free_capacity_is_granted_at_once() -> None:
    limiter = Limiter(8, Time())
    assert [limiter.reserve() for _ in range(9)] == [0.0] * 8 + [pytest.approx(Limiter.WINDOW_S)]


def test_the_wait_grows_to_its_bound_and_restarts_after_a_success() -> None:
    backoff = Backoff(uniform=lambda _, most: most)
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    backoff.reset()
    assert backoff.next_s() == 1


def test_the_jitter_is_full() -> None:
    waits = []
    for seed in range(200):
        backoff = Backoff(uniform=random.Random(seed).uniform)
        for _ in range(6):
            wait = backoff.next_s()
        waits.append(wait)
    assert 0.5 <= min(waits) < 3
    assert 27 < max(waits) <= 30


def test_it_never_overflows() -> None:
    backoff = Backoff()
    assert max(backoff.next_s() for _ in range(5_000)) <= 30


@pytest.mark.parametrize(("stood_still", "counted"), [(0.1, 100), (1.0, 1_000), (60.0, 1_000)])
def test_time_in_which_the_thread_stalled_is_not_silence(stood_still: float, counted: int) -> None:
    time = Time()
    clock = AwakeClock(time)
    time.now += stood_still
    assert clock.now_ms() == pytest.approx(counted, abs=1)

"""Limits and waits, on a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchange.pacing import AwakeClock, Limiter


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


@pytest.mark.parametrize(("stood_still", "counted"), [(0.1, 100), (1.0, 1_000), (60.0, 1_000)])
def test_time_in_which_the_thread_stalled_is_not_silence(stood_still: float, counted: int) -> None:
    time = Time()
    clock = AwakeClock(time)
    time.now += stood_still
    assert clock.now_ms() == pytest.approx(counted, abs=1)

"""Rate limits per key."""

from __future__ import annotations

from app.util.rate import KeyedRateLimit


def test_permits_come_back_with_time_and_keys_are_apart() -> None:
    now_s = 0.0
    limit = KeyedRateLimit(10, burst_s=1, max_keys=100, clock=lambda: now_s)
    assert [limit.wait_s("a") > 0 for _ in range(11)] == [False] * 10 + [True]
    assert limit.wait_s("b") == 0
    now_s = 0.25
    assert [limit.wait_s("a") > 0 for _ in range(3)] == [False, False, True]
    for n in range(200):
        assert limit.wait_s(f"c{n}") == 0


def test_the_least_recently_seen_key_is_forgotten() -> None:
    limit = KeyedRateLimit(1, burst_s=1, max_keys=2, clock=lambda: 0.0)
    assert [limit.wait_s(key) for key in "abab"] == [0, 0, 1, 1]
    assert limit.wait_s("c") == 0
    assert limit.wait_s("a") == 0

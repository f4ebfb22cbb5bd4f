"""The exchange's clock and its anchor file."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import InvalidInput
from simulator.clock import ExchangeClock, anchored

BASE_MS = 946_684_800_000  # years away from any machine's clock


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def __call__(self) -> int:
        return self.ns

    def pass_seconds(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def test_it_runs_at_its_speed_from_its_start() -> None:
    hand = Hand()
    clock = ExchangeClock(BASE_MS, 60, hand)
    hand.pass_seconds(2.5)
    assert clock.now_ms() == BASE_MS + 150_000
    assert clock.real_seconds_until(BASE_MS + 300_000) == pytest.approx(2.5)


def test_it_can_be_paused_jumped_set_and_sped_up_without_a_leap() -> None:
    hand = Hand()
    clock = ExchangeClock(BASE_MS, 10, hand)
    hand.pass_seconds(1)
    clock.set_speed(0)
    hand.pass_seconds(100)
    assert clock.now_ms() == BASE_MS + 10_000
    assert clock.real_seconds_until(BASE_MS + 20_000) == float("inf")
    clock.jump(5_000)
    clock.set_speed(2)
    hand.pass_seconds(1)
    assert clock.now_ms() == BASE_MS + 17_000
    clock.set(BASE_MS)
    assert clock.now_ms() == BASE_MS


@pytest.mark.parametrize(("base_ms", "speed"), [(0, 1), (-5, 1), (2**60, 1), (BASE_MS, -1), (BASE_MS, float("nan"))])
def test_impossible_times_and_speeds_are_refused(base_ms: int, speed: float) -> None:
    with pytest.raises(InvalidInput):
        ExchangeClock(base_ms, speed)


def test_a_restart_continues_as_if_the_market_had_run(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "anchor.json"
    first = anchored(path, BASE_MS, 60, wall_ms=1_000_000)
    again = anchored(path, 123, 60, wall_ms=1_010_000)
    assert first == again
    assert again.exchange_ms(1_010_000) == BASE_MS + 600_000


def test_a_restart_at_another_speed_does_not_leap(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    anchored(path, BASE_MS, 60, wall_ms=1_000_000)
    slower = anchored(path, 123, 1, wall_ms=1_010_000)
    assert slower.exchange_ms(1_010_000) == BASE_MS + 600_000
    assert slower.exchange_ms(1_011_000) == BASE_MS + 601_000
    assert slower.opened_ms == BASE_MS
    assert anchored(path, 123, 1, wall_ms=1_020_000) == slower


@pytest.mark.parametrize("text", ["", "{}", '{"base_ms":"x"}', "[]"])
def test_a_broken_anchor_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "anchor.json").write_text(text)
    with pytest.raises(InvalidInput, match="delete it to start a new market"):
        anchored(tmp_path / "anchor.json", BASE_MS, 1, wall_ms=1)

"""The exchange's clock: never the machine's, never moved by one odd frame."""

from __future__ import annotations

import pytest

from app.exchange.adapter import ClockTick, FeedEvent
from app.exchange.clock import LEAP_MS, Observation, StreamClock
from tests.unit.exchange.coinbase.venue import BTC, STEP, T, Venue, closes, gaps, row, spans

HOUR_MS = 3_600_000


def ticks(events: list[FeedEvent]) -> list[float]:
    return [e.exchange_ms / 1000 - T for e in events if isinstance(e, ClockTick)]


def clock(ms: int) -> StreamClock:
    made = StreamClock()
    assert made.observe(ms, heartbeat=False) is Observation.KNOWN
    return made


@pytest.mark.parametrize("ms", [1, 10**12, 4 * 10**12])
def test_any_year_is_accepted(ms: int) -> None:
    assert clock(ms).ms == ms


@pytest.mark.parametrize("step", [1, 1_000, 60_000, LEAP_MS])
def test_small_steps_count_at_once(step: int) -> None:
    known = clock(10**12)
    assert known.observe(10**12 + step, heartbeat=False) is Observation.ADVANCED


@pytest.mark.parametrize("leap", [LEAP_MS + 1, HOUR_MS, -1, -HOUR_MS])
def test_a_leap_counts_when_the_next_heartbeat_agrees(leap: int) -> None:
    known = clock(10**12)
    assert known.observe(10**12 + leap, heartbeat=True) is Observation.NONE
    assert known.ms == 10**12
    expected = Observation.LEAPT if leap > 0 else Observation.SET_BACK
    confirmed = 10**12 + leap + (0 if leap == -1 else 1_000)
    assert known.observe(confirmed, heartbeat=True) is expected
    assert known.ms == confirmed


def test_a_leap_that_only_other_frames_confirm_does_not_count() -> None:
    known = clock(10**12)
    for i in range(5):
        assert known.observe(10**12 + HOUR_MS + i, heartbeat=False) is Observation.NONE


def test_one_odd_frame_is_forgotten_when_the_next_is_normal() -> None:
    known = clock(10**12)
    known.observe(10**12 + HOUR_MS, heartbeat=True)
    assert known.observe(10**12 + 1_000, heartbeat=True) is Observation.ADVANCED
    assert known.observe(10**12 + HOUR_MS + 1_000, heartbeat=True) is Observation.NONE


def test_two_odd_heartbeats_that_disagree_do_not_count() -> None:
    known = clock(10**12)
    assert known.observe(10**12 + HOUR_MS, heartbeat=True) is Observation.NONE
    assert known.observe(10**12 + 5 * HOUR_MS, heartbeat=True) is Observation.NONE


def test_a_new_connection_far_from_the_last_needs_a_second_frame() -> None:
    known = clock(10**12)
    known.disconnected()
    assert known.ms is None
    assert known.observe(10**12 + HOUR_MS, heartbeat=False) is Observation.NONE
    assert known.observe(10**12 + HOUR_MS + 5, heartbeat=False) is Observation.KNOWN


def test_a_new_connection_a_little_behind_does_not_turn_time_back() -> None:
    known = clock(10**12)
    known.disconnected()
    assert known.observe(10**12 - 200, heartbeat=True) is Observation.KNOWN
    assert known.ms == 10**12


def test_one_odd_frame_closes_nothing() -> None:
    venue = Venue()
    venue.update(row(T))
    events = venue.beat(T + 100 * STEP)
    assert not closes(events)
    assert not gaps(events)
    assert not ticks(events)
    assert ticks(venue.beat(T + 20)) == [20]


def test_a_confirmed_leap_is_a_break() -> None:
    venue = Venue()
    venue.update(row(T))
    venue.beat(T + 4 * STEP)
    events = venue.beat(T + 4 * STEP + 1)
    assert closes(events) == []
    assert spans(events) == [(0, 2, False)]
    assert "leapt" in gaps(events)[0].reason
    assert spans(venue.beats_until(T + 5 * STEP + 3)) == [(3, 3, False), (4, 4, False)]


def test_a_clock_that_is_set_back_far_starts_over() -> None:
    venue = Venue()
    venue.update(row(T))
    back = T - 1000 * STEP
    venue.beat(back + 1)
    assert ticks(venue.beat(back + 2)) == [back + 2 - T]
    venue.update(row(back))
    assert [c.start_s for c in closes(venue.beats_until(back + 303))] == [back]


def test_a_clock_that_is_set_back_by_a_moment_decides_nothing_twice() -> None:
    venue = Venue()
    venue.ack()
    venue.update(row(T))
    assert [c.start_s for c in closes(venue.beats_until(T + STEP + 3))] == [T]
    venue.beat(T + STEP - 2)
    events = venue.beat(T + STEP - 1) + venue.ack() + venue.beats_until(T + STEP + 3)
    assert (closes(events), spans(events)) == ([], [])


def test_buckets_decided_before_the_clock_was_set_back_are_gaps() -> None:
    """Silence recorded then proves nothing about buckets that are still to come."""
    venue = Venue()
    venue.update(row(T))
    venue.beats_until(T + 3 * STEP + 3)
    venue.beat(T - 10 * STEP)
    assert spans(venue.beat(T - 10 * STEP + 1)) == [(-10, 2, False)]


def test_a_time_that_is_not_trusted_marks_no_candle() -> None:
    venue = Venue()
    venue.beat(T + 10)
    events = venue.update(row(T), at=T + 1000 * STEP)
    venue.time_s = T + 12
    assert [e.candle.observed_ms for e in events if hasattr(e, "candle")] == [(T + 10) * 1000]


def test_the_clock_is_published_at_most_four_times_per_second() -> None:
    venue = Venue()
    times = [t for i in range(100) for t in ticks(venue.beat(T + 10 + i / 100))]
    assert times == pytest.approx([10, 10.25, 10.5, 10.75])


def test_at_sixty_times_the_pace_the_same_code_closes_every_bucket() -> None:
    venue = Venue()
    venue.ack()
    closed: list[int] = []
    volume = 0
    for _ in range(100):  # real seconds
        venue.now_ms += 1_000
        at = venue.time_s + 60
        volume = volume + 1 if at // STEP == (at - 60) // STEP else 1
        events = venue.update(row(int(at // STEP * STEP), volume=volume), at=at) + venue.beat()
        assert venue.pass_ms(0) == []
        assert gaps(events) == []
        closed += [c.start_s for c in closes(events)]
    assert venue.session.must_reconnect is None
    assert closed == [T + i * STEP for i in range(20)]
    assert venue.session.products == [BTC]

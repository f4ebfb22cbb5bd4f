"""When a connection is given up, and when it is not."""

from __future__ import annotations

import pytest

from app.exchange.silence import Silence
from tests.unit.exchange.coinbase.venue import BTC, STEP, T, Venue, closes, row, spans


def beat_for(venue: Venue, seconds: int, pace: int = 1) -> None:
    """Heartbeats alone for some real seconds, or until the session requests a reconnect."""
    for _ in range(seconds):
        if venue.session.must_reconnect is None:
            venue.beat(venue.time_s + pace)
            venue.pass_ms(1_000)


def test_no_first_frame_within_five_seconds() -> None:
    venue = Venue()
    venue.pass_ms(4_999)
    assert venue.session.must_reconnect is None
    venue.pass_ms(1)
    assert venue.session.must_reconnect == "no frame within 5 s of opening"


def test_garbage_is_not_a_first_frame() -> None:
    venue = Venue()
    venue.deliver("garbage")
    venue.pass_ms(5_000)
    assert venue.session.must_reconnect == "no frame within 5 s of opening"


def test_candles_do_not_replace_heartbeats() -> None:
    venue = Venue()
    for i in range(5):
        venue.update(row(T, volume=i + 1), at=T + 10 + i)
        venue.pass_ms(1_000)
    assert venue.session.must_reconnect == "no heartbeat for 5 s"


def test_a_new_connection_starts_its_timers_again() -> None:
    venue = Venue()
    venue.pass_ms(6_000)
    venue.close("no frame within 5 s of opening")
    assert venue.session.must_reconnect is None
    venue.pass_ms(60_000)
    venue.open()
    venue.pass_ms(1_000)
    assert venue.session.must_reconnect is None


def test_without_accepted_products_no_channel_is_dead() -> None:
    venue = Venue()
    beat_for(venue, 120)
    assert venue.session.must_reconnect is None


def test_a_dead_channel_needs_five_real_seconds_however_fast_the_exchange_runs() -> None:
    venue = Venue()
    venue.update(row(T))
    beat_for(venue, 5, pace=60)
    assert venue.session.must_reconnect is None
    beat_for(venue, 1, pace=60)
    assert "no candle" in str(venue.session.must_reconnect)


def test_thin_products_do_not_flap() -> None:
    venue = Venue()
    venue.update(row(T))
    waits = []
    for _ in range(8):
        before = venue.time_s
        beat_for(venue, 2_000)
        waits.append(venue.time_s - before)
        venue.close(str(venue.session.must_reconnect))
        venue.open()
        venue.ack(BTC)
    assert waits[0] == 25
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(900, abs=2), "bounded: three times five minutes"


def test_buckets_decided_in_a_dead_stream_become_gaps_at_once() -> None:
    venue = Venue()
    venue.update(row(T), at=T + 295)
    events = venue.beat(T + 303)
    assert [c.start_s for c in closes(events)] == [T], "nothing says yet that the channel is dead"
    events = []
    for _ in range(30):
        events += venue.beat(venue.time_s + 1) + venue.pass_ms(1_000)
    assert spans(events) == [(0, 0, False)]
    events = venue.close(str(venue.session.must_reconnect))
    venue.time_s = T + 2 * STEP + 1
    venue.open()
    assert spans(venue.beat() + venue.ack()) == [(1, 1, False)]


class TestSilence:
    def test_the_first_limit(self) -> None:
        silence = Silence()
        silence.begin(0, 0)
        assert not silence.is_dead(24_000, 60_000)
        assert silence.is_dead(24_001, 60_000)
        assert not silence.is_dead(24_001, 5_000)

    def test_it_learns_from_silences_that_end_without_a_reconnect(self) -> None:
        silence = Silence()
        silence.begin(0, 0)
        silence.ended(20_000, 0)
        assert silence.limit_ms == 60_000
        silence.ended(21_000, 0)
        assert silence.limit_ms == 60_000

    def test_it_does_not_learn_from_silences_ended_by_a_reconnect(self) -> None:
        silence = Silence()
        silence.begin(0, 0)
        silence.forget()
        silence.begin(200_000, 0)
        assert silence.limit_ms == 24_000

    def test_the_limit_halves_every_hour_down_to_ten_seconds(self) -> None:
        silence = Silence()
        for second in range(3 * 3_600 + 60):
            silence.ended(second * 1_000, 0)
        assert silence.limit_ms == 10_000
        assert silence.expected_ms == 1_000

    def test_it_is_bounded(self) -> None:
        silence = Silence()
        for _ in range(40):
            silence.reconnecting()
        assert silence.limit_ms == 900_000

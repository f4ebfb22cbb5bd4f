"""When a bucket closes, when it is a gap, and what a later update changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from app.exchange.adapter import CandleClosed, CandleUpdated, ClockTick, FeedEvent, GapSuspected
from app.exchange.buckets import MAX_GAP_BUCKETS
from app.market.candles import CandleState
from tests.unit.exchange.coinbase.venue import BTC, ETH, STEP, T, Venue, closes, gaps, row, spans, updates


def settled(*products: str, **options: object) -> Venue:
    """A venue subscribed in bucket 0, which is decided; its stream is whole from the start of bucket 1."""
    venue = Venue(*products, **options)
    venue.ack(*(products or (BTC,)))
    venue.beats_until(T + STEP + 5)
    return venue


def test_an_update_is_shown_at_once() -> None:
    venue = Venue()
    events = venue.update(row(T, volume=2, close=101))
    assert events == [ClockTick(events[0].exchange_ms), CandleUpdated(updates(events)[0])]  # type: ignore[union-attr]
    candle = updates(events)[0]
    assert (candle.exchange, candle.product, candle.timeframe, candle.start_s) == ("coinbase", BTC, "5m", T)
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (100, 106, 95, 101, 2)
    assert (candle.state, candle.observed_ms) == (CandleState.FORMING, (T + 10) * 1000)


def test_a_later_bucket_closes_the_finished_one_and_not_the_new_one() -> None:
    venue = Venue()
    venue.update(row(T, volume=2, close=101), at=T + 299)
    events = venue.update(row(T + STEP, volume=1, close=102), at=T + 301)
    assert [(c.start_s, c.close, c.state, c.observed_ms) for c in closes(events)] == [
        (T, 101, CandleState.CLOSED, (T + 299) * 1000)
    ]
    assert [(c.start_s, c.close, c.state) for c in updates(events)] == [(T + STEP, 102, CandleState.FORMING)]
    assert [type(e) for e in events] == [ClockTick, CandleClosed, CandleUpdated]


@pytest.mark.parametrize(
    ("at", "is_closed"), [(299.999, False), (300, False), (301.999, False), (302, True), (303, True)]
)
def test_the_clock_closes_a_bucket_after_the_grace(at: float, is_closed: bool) -> None:
    venue = Venue()
    venue.update(row(T))
    assert bool(closes(venue.beat(T + at))) is is_closed


def test_the_grace_is_a_setting() -> None:
    venue = Venue(close_grace_ms=0)
    venue.update(row(T))
    assert len(closes(venue.beat(T + 300))) == 1


def test_an_update_within_the_grace_is_part_of_the_close() -> None:
    venue = Venue()
    venue.update(row(T, volume=2))
    events = venue.update(row(T, volume=3), at=T + 301)
    assert not closes(events)
    assert [c.volume for c in closes(venue.beat(T + 302))] == [3]


def test_the_frame_that_ends_the_grace_is_itself_still_read() -> None:
    venue = Venue()
    venue.update(row(T, volume=2))
    events = venue.update(row(T, volume=3), at=T + 302)
    assert [c.volume for c in closes(events)] == [3]


def test_a_bucket_closes_once() -> None:
    venue = Venue()
    venue.update(row(T))
    first = venue.update(row(T + STEP), at=T + 301)
    assert len(closes(first)) == 1
    assert closes(venue.beats_until(T + 590)) == []


def test_buckets_without_an_update_in_a_whole_stream_are_settled_only_gaps() -> None:
    venue = settled()
    assert spans(venue.beats_until(T + 2 * STEP + 3)) == [(1, 1, True)]
    assert spans(venue.beats_until(T + 3 * STEP + 3)) == [(2, 2, True)]


def test_an_update_covers_every_quiet_bucket_before_it_in_one_gap() -> None:
    venue = settled(close_grace_ms=STEP * 4_000)
    venue.update(row(T + STEP))
    venue.beats_until(T + 4 * STEP - 1)
    events = venue.update(row(T + 4 * STEP), at=T + 4 * STEP)
    assert [c.start_s for c in closes(events)] == [T + STEP]
    assert spans(events) == [(2, 3, True)]


def test_urgent_and_quiet_buckets_are_separate_gaps_and_none_is_left_out() -> None:
    venue = Venue(close_grace_ms=STEP * 4_000)
    venue.ack()
    venue.beats_until(T + 3 * STEP - 1)
    assert spans(venue.update(row(T + 3 * STEP), at=T + 3 * STEP)) == [(0, 0, False), (1, 2, True)]


def test_buckets_before_the_subscription_are_not_gaps() -> None:
    venue = Venue()
    assert gaps(venue.snapshot(row(T - 5 * STEP), row(T - STEP))) == []
    assert gaps(venue.ack()) == []
    assert gaps(venue.beats_until(T + 299)) == []


def test_the_bucket_of_the_subscription_is_an_urgent_gap_without_an_update() -> None:
    venue = Venue()
    venue.ack()
    events = venue.beats_until(T + 303)
    assert spans(events) == [(0, 0, False)]
    assert "middle" in gaps(events)[0].reason


def test_the_bucket_of_the_subscription_closes_with_an_update() -> None:
    venue = Venue()
    venue.ack()
    venue.update(row(T))
    events = venue.beats_until(T + 303)
    assert [c.start_s for c in closes(events)] == [T]
    assert gaps(events) == []


@pytest.mark.parametrize(
    ("volume", "close", "revised"),
    [(3, 101, True), (2, 101.5, True), (2, 101, False), (1, 90, False)],
    ids=["more volume", "same volume, other price", "identical", "less volume: a delayed frame"],
)
def test_a_late_update_of_a_closed_bucket(volume: float, close: float, revised: bool) -> None:
    venue = Venue()
    venue.update(row(T, volume=2, close=101))
    venue.update(row(T + STEP, volume=7), at=T + 301)
    events = venue.update(row(T, volume=volume, close=close), at=T + 304)
    assert [(c.start_s, c.volume, c.close, c.state) for c in closes(events)] == (
        [(T, volume, close, CandleState.CLOSED)] if revised else []
    )
    assert not updates(events)
    assert not gaps(events)
    assert [c.volume for c in closes(venue.beats_until(T + 2 * STEP + 3))] == [7], "the open bucket is untouched"


def test_a_revision_counts_against_the_revision_before_it() -> None:
    venue = Venue()
    venue.update(row(T, volume=2))
    venue.update(row(T + STEP), at=T + 301)
    assert len(closes(venue.update(row(T, volume=4)))) == 1
    assert closes(venue.update(row(T, volume=3))) == []
    assert closes(venue.update(row(T, volume=4))) == []
    assert venue.session.snapshot(0).stale_updates == 1


def test_the_first_update_of_a_bucket_that_seemed_empty_closes_it() -> None:
    venue = settled()
    assert spans(venue.beats_until(T + 2 * STEP + 3)) == [(1, 1, True)]
    assert [c.start_s for c in closes(venue.update(row(T + STEP)))] == [T + STEP]


def test_only_the_last_few_buckets_are_kept() -> None:
    venue = Venue()
    for i in range(6):
        venue.update(row(T + i * STEP), at=T + i * STEP + 10)
    assert len(closes(venue.update(row(T + STEP, volume=9)))) == 1
    assert closes(venue.update(row(T, volume=9))) == []
    assert venue.session.snapshot(0).late_updates == 1


def test_a_delayed_update_of_the_open_bucket_is_ignored() -> None:
    venue = Venue()
    venue.update(row(T, volume=5, close=101))
    assert updates(venue.update(row(T, volume=4, close=90))) == []
    assert [c.close for c in closes(venue.beats_until(T + 303))] == [101]


def test_an_identical_update_is_not_published_but_earns_trust() -> None:
    venue = Venue()
    venue.update(row(T))
    assert updates(venue.update(row(T))) == []
    venue.lose()
    venue.beat()
    assert updates(venue.update(row(T))) == []
    assert len(closes(venue.beats_until(T + 303))) == 1


def test_one_impossible_volume_does_not_shut_out_the_truth_as_a_trusted_close() -> None:
    venue = Venue()
    venue.update(row(T, volume=10_000))
    for volume in (5, 6, 7):
        venue.update(row(T, volume=volume))
    events = venue.beats_until(T + 303)
    assert closes(events) == []
    assert spans(events) == [(0, 0, False)]


def test_delayed_frames_with_a_newer_one_between_them_are_not_a_contradiction() -> None:
    venue = Venue()
    for volume in (5, 4, 4, 6, 5):
        venue.update(row(T, volume=volume))
    events = venue.beats_until(T + 303)
    assert [c.volume for c in closes(events)] == [6]
    assert gaps(events) == []


@pytest.mark.parametrize("price", ["open", "high", "low", "close"])
def test_another_price_at_the_same_volume_is_a_change(price: str) -> None:
    venue, prices = Venue(), {"open": "100", "high": "110", "low": "90", "close": "100"}
    venue.update({**row(T), **prices})
    assert updates(venue.update({**row(T), **prices})) == []
    assert len(updates(venue.update({**row(T), **prices, price: str(float(prices[price]) + 1)}))) == 1


def test_each_product_closes_separately() -> None:
    venue = Venue(BTC, ETH)
    venue.update(row(T, product=BTC))
    venue.update(row(T, product=ETH), at=T + 299)
    events = venue.update(row(T + STEP, product=BTC), at=T + 300)
    assert [(c.product, c.start_s) for c in closes(events)] == [(BTC, T)]
    assert [(c.product, c.start_s) for c in closes(venue.beat(T + 303))] == [(ETH, T)]


def provisional(events: Iterable[FeedEvent]) -> list[bool]:
    return [e.provisional for e in events if isinstance(e, CandleClosed)]


def lose_a_frame(venue: Venue) -> list[FeedEvent]:
    venue.lose()
    return venue.beat()


class TestBreaks:
    def test_a_lost_frame_makes_the_open_bucket_a_gap(self) -> None:
        venue = Venue(BTC, ETH)
        venue.update(row(T, product=BTC))
        venue.update(row(T, product=ETH))
        venue.lose()
        venue.beat()
        events = venue.beats_until(T + 303)
        assert closes(events) == []
        assert [(g.product, g.settled_only) for g in gaps(events)] == [(BTC, False), (ETH, False)]
        assert "sequence" in gaps(events)[0].reason

    def test_an_update_after_it_restores_the_trust(self) -> None:
        venue = Venue()
        venue.update(row(T, volume=1))
        venue.lose()
        venue.update(row(T, volume=2))
        assert [c.volume for c in closes(venue.beats_until(T + 303))] == [2]

    def test_a_frame_lost_after_the_end_but_before_the_close_counts(self) -> None:
        venue = Venue()
        venue.update(row(T))
        venue.beat(T + 301)
        venue.lose()
        events = venue.beat(T + 303)
        assert closes(events) == []
        assert spans(events) == [(0, 0, False)]

    def test_the_buckets_after_a_break_are_whole_again(self) -> None:
        venue = Venue()
        venue.ack()
        venue.lose()
        assert spans(venue.beats_until(T + 2 * STEP + 3)) == [(0, 0, False), (1, 1, True)]

    def test_a_frame_lost_across_a_boundary_taints_both_buckets(self) -> None:
        venue = settled()
        venue.update(row(T + STEP))
        venue.lose()
        venue.beat(T + 2 * STEP + 1)
        assert spans(venue.beats_until(T + 3 * STEP + 3)) == [(1, 1, False), (2, 2, False)]

    def test_after_a_reconnect_the_gap_is_requested_at_once(self) -> None:
        venue = settled()
        venue.update(row(T + STEP))
        events = venue.reconnect(BTC, at=T + 4 * STEP + 1)
        assert spans(events) == [(1, 3, False)]
        assert "1001" in gaps(events)[0].reason

    def test_a_bucket_that_ended_during_a_break_is_a_gap_even_within_the_grace(self) -> None:
        venue = settled()
        venue.update(row(T + STEP))
        events = venue.reconnect(BTC, at=T + 2 * STEP + 1) + venue.beats_until(T + 2 * STEP + 3)
        assert spans(events) == [(1, 1, False)]

    def test_a_break_before_the_stream_was_whole_is_not_the_reason(self) -> None:
        venue = Venue()
        venue.reconnect(BTC, at=T + 20)
        assert ["middle" in g.reason for g in gaps(venue.beats_until(T + 303))] == [True]

    def test_an_acknowledgement_within_the_grace_leaves_the_bucket_before_to_be_decided(self) -> None:
        venue = settled()
        venue.update(row(T + STEP))
        venue.close()
        venue.open()
        venue.beat(T + 2 * STEP - 2)
        venue.beat(T + 2 * STEP + 1)
        assert spans(venue.ack() + venue.beats_until(T + 2 * STEP + 3)) == [(1, 1, False)]

    def test_a_reconnect_within_one_bucket_is_not_a_gap(self) -> None:
        venue = settled()
        venue.update(row(T + STEP, volume=1))
        assert gaps(venue.reconnect(BTC, at=T + STEP + 60)) == []
        venue.update(row(T + STEP, volume=2))
        assert [c.volume for c in closes(venue.beats_until(T + 2 * STEP + 3))] == [2]

    @pytest.mark.parametrize("volume", [1, 2, 50])
    def test_a_bucket_that_was_open_across_a_reconnect_closes_as_provisional(self, volume: int) -> None:
        """A restarted server may count from zero: no volume proves that it did not."""
        venue = settled()
        venue.update(row(T + STEP, volume=1))
        venue.reconnect(BTC, at=T + STEP + 60)
        venue.update(row(T + STEP, volume=volume))
        assert provisional(venue.beats_until(T + 2 * STEP + 3)) == [True]
        assert provisional(venue.update(row(T + STEP, volume=volume + 1))) == [True], "so does a late update of it"
        venue.update(row(T + 2 * STEP))
        assert provisional(venue.beats_until(T + 3 * STEP + 3)) == [False], "the next bucket was seen whole"

    def test_the_bucket_of_the_subscription_closes_as_provisional(self) -> None:
        venue = Venue()
        venue.ack()
        venue.update(row(T))
        assert provisional(venue.beats_until(T + 303)) == [True]

    def test_a_lost_frame_alone_makes_no_close_provisional(self) -> None:
        """The server is the same, and each of its updates is the whole candle."""
        venue = settled()
        lose_a_frame(venue)
        venue.update(row(T + STEP, volume=2))
        assert provisional(venue.beats_until(T + 2 * STEP + 3)) == [False]

    def test_a_late_update_of_a_gap_closes_as_provisional(self) -> None:
        """It shows an old state, and later ones may be missing."""
        venue = settled()
        lose_a_frame(venue)
        assert spans(venue.beats_until(T + 2 * STEP + 3)) == [(1, 1, False)]
        events = venue.update(row(T + STEP, volume=2))
        assert (provisional(events), spans(events)) == ([True], [(1, 1, False)])

    @pytest.mark.parametrize("ends", [Venue.close, lambda venue: lose_a_frame(venue)], ids=["a break", "a lost frame"])
    def test_a_late_break_voids_the_silence_of_the_bucket_before(
        self, ends: Callable[[Venue], list[FeedEvent]]
    ) -> None:
        venue = settled()
        assert spans(venue.beats_until(T + 2 * STEP + 3)) == [(1, 1, True)]
        assert spans(ends(venue)) == [(1, 1, False)]
        assert spans(ends(venue)) == []

    def test_without_an_update_after_a_reconnect_its_bucket_is_a_gap(self) -> None:
        venue = settled()
        venue.update(row(T + STEP))
        venue.reconnect(BTC, at=T + STEP + 60)
        events = venue.beats_until(T + 3 * STEP + 3)
        assert closes(events) == []
        assert spans(events) == [(1, 1, False), (2, 2, True)]

    def test_until_the_exchange_delivers_again_every_bucket_is_a_gap(self) -> None:
        venue = settled()
        venue.close()
        venue.open()
        venue.beat(T + STEP + 70)
        assert spans(venue.beats_until(T + 3 * STEP + 3)) == [(1, 1, False), (2, 2, False)]

    @pytest.mark.parametrize(("after_s", "is_gap"), [(3, True), (29, True), (30, False)])
    def test_a_close_whose_last_update_may_be_lost_becomes_a_gap(self, after_s: float, is_gap: bool) -> None:
        for ends in (Venue.close, lose_a_frame):
            venue = settled()
            venue.update(row(T + STEP), at=T + 2 * STEP - 10)
            assert [c.start_s for c in closes(venue.beat(T + 2 * STEP + 3))] == [T + STEP]
            venue.beats_until(T + 2 * STEP + after_s)
            assert spans(ends(venue)) == ([(1, 1, False)] if is_gap else [])
            assert spans(ends(venue)) == [], "it is asked for already"

    def test_a_close_that_became_a_gap_can_still_be_revised(self) -> None:
        venue = settled()
        venue.update(row(T + STEP), at=T + 2 * STEP - 10)
        venue.beat(T + 2 * STEP + 3)
        lose_a_frame(venue)
        assert [c.volume for c in closes(venue.update(row(T + STEP, volume=2)))] == [2]

    @pytest.mark.parametrize("updates_before", [0, 1], ids=["without updates", "with an update"])
    def test_a_late_update_does_not_end_the_gap(self, updates_before: int) -> None:
        venue = settled()
        for volume in range(updates_before):
            venue.update(row(T + STEP, volume=volume + 1))
        venue.reconnect(BTC, at=T + 2 * STEP + 10)  # its last updates are lost; then a delayed one arrives
        for volume in (2, 3):
            events = venue.update(row(T + STEP, volume=volume))
            assert [c.volume for c in closes(events)] == [volume], "the best that is known"
            assert spans(events) == [(1, 1, False)], "to be asked for after this close, which would hide the gap"
            assert isinstance(events[-1], GapSuspected)
        assert closes(events := venue.update(row(T + STEP, volume=3))) == gaps(events) == []

    def test_a_long_gap_is_bounded(self) -> None:
        venue = settled()
        events = venue.reconnect(BTC, at=T + 5000 * STEP)
        assert spans(events) == [(5000 - MAX_GAP_BUCKETS, 4999, False)]

    def test_an_invalid_update_makes_a_gap_of_its_product(self) -> None:
        venue = Venue(BTC, ETH)
        venue.update(row(T, product=BTC), row(T, product=ETH))
        venue.update(row(T, volume=2, product=BTC, high="NaN"), row(T, volume=2, product=ETH))
        events = venue.beats_until(T + 303)
        assert [(c.product, c.volume) for c in closes(events)] == [(ETH, 2)]
        assert [g.product for g in gaps(events)] == [BTC]

    def test_an_invalid_numbered_frame_makes_gaps_of_all_products(self) -> None:
        venue = Venue()
        venue.update(row(T))
        venue.send("candles", ["nonsense"])
        assert closes(venue.beats_until(T + 303)) == []

    def test_noise_without_a_number_changes_nothing(self) -> None:
        venue = Venue()
        venue.update(row(T))
        venue.deliver(b"\x00\xff garbage")
        assert len(closes(venue.beats_until(T + 303))) == 1

    def test_noise_after_a_gap_in_the_numbers_may_be_a_lost_update(self) -> None:
        """The numbers were wrong once: they may hide the next loss, too."""
        venue = Venue()
        venue.update(row(T))
        venue.lose()
        venue.update(row(T, volume=2))
        venue.deliver(b"\x00\xff garbage")
        assert closes(venue.beats_until(T + 303)) == []

    def test_another_frame_with_an_old_number_is_not_a_repetition(self) -> None:
        venue = Venue()
        venue.update(row(T))
        venue.seq -= 1
        venue.update(row(T, volume=2))  # cannot be ordered: it may be older or newer than what is held
        assert closes(events := venue.beats_until(T + 303)) == []
        assert spans(events) == [(0, 0, False)]

    def test_a_repeated_frame_changes_nothing(self) -> None:
        venue = Venue()
        venue.update(row(T))
        venue.seq -= 1
        venue.update(row(T))
        assert len(closes(venue.beats_until(T + 303))) == 1


class TestSnapshots:
    def test_the_open_bucket_is_shown(self) -> None:
        venue = Venue()
        events = venue.snapshot(row(T, volume=3), row(T - STEP), row(T - 7 * STEP))
        assert [(c.start_s, c.volume, c.state) for c in updates(events)] == [(T, 3, CandleState.FORMING)]
        assert not closes(events)
        assert not gaps(events)

    def test_a_snapshot_earns_no_trust(self) -> None:
        venue = Venue()
        venue.snapshot(row(T))
        events = venue.beats_until(T + 303)
        assert closes(events) == []
        assert spans(events) == [(0, 0, False)]

    def test_a_snapshot_does_not_replace_an_update(self) -> None:
        venue = Venue()
        venue.update(row(T, volume=2))
        assert updates(venue.snapshot(row(T, volume=1))) == []
        venue.snapshot(row(T, volume=3))
        assert [c.volume for c in closes(venue.beats_until(T + 303))] == [2]

    def test_a_snapshot_of_a_later_bucket_closes_nothing(self) -> None:
        venue = Venue()
        venue.update(row(T, volume=2))
        events = venue.snapshot(row(T + STEP), at=T + 301)
        assert not closes(events)
        assert not gaps(events)

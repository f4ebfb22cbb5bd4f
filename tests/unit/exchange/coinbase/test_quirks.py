"""Actual behaviour of the exchange, one test per quirk.

Quirks of REST are in tests/integration/test_coinbase_rest.py, those of the socket (a close with 1000 or 1001) in
tests/integration/test_coinbase_websocket.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.exchange.adapter import ProductRefused
from app.exchange.frames import MAX_FRAME_BYTES
from tests.unit.exchange.coinbase.venue import (
    BTC,
    ETH,
    STEP,
    T,
    Venue,
    closes,
    gaps,
    rejections,
    row,
    spans,
    timestamp,
    updates,
)


def test_quirk_01_a_silent_socket_is_given_up() -> None:
    venue = Venue()
    venue.beat()
    venue.pass_ms(4_999)
    assert venue.session.must_reconnect is None
    venue.pass_ms(1)
    assert venue.session.must_reconnect == "no heartbeat for 5 s"


def test_quirk_01_heartbeats_do_not_hide_a_dead_channel() -> None:
    venue = Venue()
    venue.update(row(T))
    for _ in range(25):
        venue.beat(venue.time_s + 1)
        assert venue.session.must_reconnect is None
        venue.pass_ms(1_000)
    assert "no candle for 25 s" in str(venue.session.must_reconnect)


def test_quirk_04_a_snapshot_has_gaps_any_order_and_the_open_bucket() -> None:
    venue = Venue()
    starts = [T - 3 * STEP, T, T - 90 * STEP, T - STEP]
    events = venue.snapshot(*(row(start) for start in starts))
    assert [c.start_s for c in updates(events)] == [T]
    assert not closes(events)
    assert not gaps(events)


def test_quirk_05_a_snapshot_that_is_sent_again_fires_nothing() -> None:
    venue = Venue()
    venue.update(row(T))
    venue.update(row(T + STEP), at=T + 301)
    events = venue.snapshot(row(T + STEP), row(T, volume=9), row(T - STEP))
    assert not updates(events)
    assert not closes(events)
    assert not gaps(events)


def test_quirk_05_a_newest_first_snapshot_fires_no_false_close_on_the_next_update() -> None:
    venue = Venue()
    venue.snapshot(row(T), row(T - STEP), row(T - 2 * STEP))
    assert closes(venue.update(row(T, volume=2))) == []


def test_quirk_06_an_illiquid_product_closes_without_its_next_trade() -> None:
    venue = Venue()
    venue.update(row(T))
    assert [c.start_s for c in closes(venue.beats_until(T + 303))] == [T]


def test_quirk_07_usdc_is_fed_from_usd() -> None:
    venue = Venue("BTC-USDC", BTC, aliases={"BTC-USDC": BTC})
    assert venue.sent[0]["product_ids"] == [BTC]
    events = venue.update(row(T)) + venue.ack(BTC) + venue.update(row(T + STEP), at=T + 301)
    assert {c.product for c in updates(events)} == {BTC, "BTC-USDC"}
    assert [(c.product, c.close) for c in closes(events)] == [("BTC-USDC", 100), (BTC, 100)]
    venue.lose()
    venue.beat()
    assert {g.product for g in gaps(venue.beats_until(T + 2 * STEP + 3))} == {BTC, "BTC-USDC"}
    assert venue.pass_ms(3_000) == []


def test_quirk_07_usdc_alone_has_only_its_own_name() -> None:
    venue = Venue("BTC-USDC", aliases={"BTC-USDC": BTC})
    assert {c.product for c in updates(venue.update(row(T)))} == {"BTC-USDC"}


def test_quirk_08_an_unknown_product_is_refused_once_and_is_not_a_gap() -> None:
    venue = Venue(BTC, "NOPE-USD")
    venue.ack(BTC)
    events = venue.pass_ms(3_000)
    assert [e.product for e in events if isinstance(e, ProductRefused)] == ["NOPE-USD"]
    later = venue.beats_until(T + 2 * STEP + 3) + venue.reconnect(BTC, at=T + 5 * STEP) + venue.pass_ms(3_000)
    assert [e for e in later if isinstance(e, ProductRefused)] == []
    assert {g.product for g in gaps(later)} == {BTC}


def test_quirk_09_authentication_failure_is_reported_without_a_hot_loop() -> None:
    venue = Venue()
    refused, requests = [], 2
    for _ in range(600):
        for _ in range(requests):
            events = venue.deliver({"type": "error", "message": "authentication failure"})
            assert rejections(events) == ["the exchange says: authentication failure"]
        venue.beat(venue.time_s + 1)
        refused += [e.product for e in venue.pass_ms(1_000) if isinstance(e, ProductRefused)]
        requests = len(venue.session.requests())
    assert refused == [BTC]
    assert venue.session.must_reconnect is None
    assert 4 <= venue.session.snapshot(0).rejected["error frame"] <= 8, "asked again, ever more rarely"


def test_quirk_09_an_error_that_passes_refuses_nothing() -> None:
    venue = Venue()
    venue.deliver({"type": "error", "message": "too many messages"})
    retried_after_s = 0
    while not venue.session.requests():
        retried_after_s += 1
        venue.beat(venue.time_s + 1)
        assert venue.pass_ms(1_000) == []
    assert 10 <= retried_after_s <= 13
    venue.ack(BTC)
    assert venue.pass_ms(3_000) == []
    assert venue.session.snapshot(0).accepted == 1


def test_quirk_10_data_comes_before_the_acknowledgement() -> None:
    venue = Venue()
    assert len(updates(venue.snapshot(row(T)) + venue.update(row(T, volume=2)) + venue.ack())) == 2
    assert closes(venue.beats_until(T + 303))[0].volume == 2


def test_quirk_10_acknowledgements_are_cumulative() -> None:
    venue = Venue(BTC, ETH, products_per_message=1)
    assert [s.get("product_ids") for s in venue.sent] == [[BTC], [ETH], None]
    venue.ack(BTC)
    assert venue.pass_ms(3_000) == [], "the answer to the second message is still to come"
    venue.ack(BTC, ETH)
    venue.ack(BTC, ETH)
    assert venue.pass_ms(1_500) == []
    assert venue.session.snapshot(0).accepted == 2


def test_quirk_11_one_counter_for_all_channels() -> None:
    venue = Venue()
    venue.update(row(T))
    venue.send("market_trades", [{"type": "update", "trades": []}])
    venue.beat()
    assert venue.session.snapshot(0).sequence_gaps == 0
    venue.lose(3)
    venue.beat()
    assert venue.session.snapshot(0).sequence_gaps == 1
    assert closes(venue.beats_until(T + 303)) == []


def test_quirk_11_each_connection_counts_from_zero() -> None:
    venue = Venue()
    for _ in range(5):
        venue.beat()
    venue.reconnect(BTC, at=T + 20)
    snapshot = venue.session.snapshot(0)
    assert (snapshot.sequence_gaps, snapshot.duplicates) == (0, 0)


def test_quirk_11_a_connection_may_begin_with_any_number() -> None:
    venue = Venue()
    venue.seq = 41
    venue.update(row(T))
    venue.update(row(T, volume=2))
    assert venue.session.snapshot(0).sequence_gaps == 0


@pytest.mark.parametrize(
    "event",
    [
        {"current_time": "2026-07-16 20:28:53.16294062 +0000 UTC m=+75497.317767664", "heartbeat_counter": 75497},
        {"current_time": "2026-07-16 20:28:53 +0000 UTC m=+1.3", "heartbeat_counter": "3049"},
        {"current_time": "2026-04-07 14:30:10.000000000+00:00", "heartbeat_counter": 1},
    ],
)
def test_quirk_12_a_heartbeat_counts_whatever_its_counter(event: dict[str, object]) -> None:
    venue = Venue()
    venue.pass_ms(4_000)
    assert rejections(venue.send("heartbeats", [event])) == []
    venue.pass_ms(4_000)
    assert venue.session.must_reconnect is None


@pytest.mark.parametrize("more", [{}, {"client_id": ""}, {"client_id": 7, "region": {"new": ["field"]}}])
def test_quirk_13_fields_may_come_and_go(more: dict[str, Any]) -> None:
    venue = Venue()
    event = {"type": "update", "candles": [row(T, trades=17, granularity="FIVE_MINUTE")], "page": 1}
    assert len(updates(venue.send("candles", [event], **more))) == 1


def test_quirk_14_trades_are_not_candles() -> None:
    venue = Venue()
    trade = {"product_id": BTC, "trade_id": "1", "price": "64614.66", "size": "1", "time": timestamp(T), "side": "SELL"}
    events = venue.send("market_trades", [{"type": "snapshot", "trades": [trade]}])
    assert not updates(events)
    assert not rejections(events)


def test_quirk_21_a_frame_of_many_megabytes_is_refused_unread() -> None:
    venue = Venue()
    assert "too large" in rejections(venue.deliver("[" * (MAX_FRAME_BYTES + 1)))[0]


def test_quirk_21_a_snapshot_of_every_product_is_not_too_large() -> None:
    products = [f"P{i}-USD" for i in range(100)]
    venue = Venue(*products)
    rows = [row(T - i * STEP, product=product) for product in products for i in range(100)]
    assert len(json.dumps(rows)) > 1_000_000
    assert len(updates(venue.snapshot(*rows))) == 100


def test_quirk_22_duplicates_change_nothing() -> None:
    venue = Venue()
    frame = venue.envelope("candles", [{"type": "update", "candles": [row(T)]}])
    assert len(updates(venue.deliver(frame))) == 1
    assert venue.deliver(frame) == []
    venue.update(row(T, volume=2))
    assert venue.deliver(frame) == []
    snapshot = venue.session.snapshot(0)
    assert (snapshot.duplicates, snapshot.sequence_gaps) == (2, 0)
    assert closes(venue.beats_until(T + 303))[0].volume == 2


def test_quirk_22_the_feed_has_five_minute_buckets_only() -> None:
    venue = Venue()
    assert "not the start of a 5m bucket" in rejections(venue.update(row(T + 60)))[0]


def test_quirk_23_a_candle_revised_after_its_close_is_closed_again() -> None:
    venue = Venue()
    venue.update(row(T, volume=1))
    venue.beats_until(T + 303)
    assert [(c.start_s, c.volume) for c in closes(venue.update(row(T, volume=2)))] == [(T, 2)]


def test_quirk_24_other_channels_may_be_half_empty() -> None:
    venue = Venue()
    events = venue.send("ticker", [{"type": "update", "tickers": [{"best_bid": "", "product_id": "X-PERP"}]}])
    assert rejections(events) == []


def test_the_bucket_in_progress_at_a_disconnect_is_not_frozen() -> None:
    venue = Venue()
    for volume in range(1, 8):
        venue.update(row(T, volume=volume))
    assert spans(venue.reconnect(BTC, at=T + 60)) == []
    assert [c.volume for c in updates(venue.update(row(T, volume=9)))] == [9], "although its number is a lower one"

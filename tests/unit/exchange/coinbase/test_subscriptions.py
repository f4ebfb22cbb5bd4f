"""Subscription messages, and their results."""

from __future__ import annotations

import json

from app.exchange.adapter import Connected, Disconnected, ProductAccepted, ProductRefused
from tests.unit.exchange.coinbase.venue import BTC, ETH, STEP, T, Venue, gaps, rejections, row, updates


def sent(venue: Venue) -> list[dict[str, object]]:
    return [json.loads(request) for request in venue.session.requests()]


def test_one_channel_a_message_and_no_credentials() -> None:
    venue = Venue(BTC, ETH)
    assert venue.sent == [
        {"type": "subscribe", "product_ids": [BTC, ETH], "channel": "candles"},
        {"type": "subscribe", "channel": "heartbeats"},
    ]
    assert sent(venue) == []


def test_many_products_are_requested_in_several_messages() -> None:
    products = [f"P{i}-USD" for i in range(250)]
    venue = Venue(*products)
    batches = [message["product_ids"] for message in venue.sent if message["channel"] == "candles"]
    assert [len(ids) for ids in batches] == [100, 100, 50]
    assert [p for ids in batches for p in ids] == products


def test_each_connection_subscribes_again() -> None:
    venue = Venue(BTC)
    first = venue.sent
    venue.close()
    venue.open()
    assert venue.sent == first


def test_connections_are_counted_and_published() -> None:
    venue = Venue()
    assert venue.opened == [Connected("coinbase-1", 1)]
    assert venue.close("1000") == [Disconnected("coinbase-1", "1000")]
    assert venue.open() == [Connected("coinbase-1", 2)]


def test_products_can_come_and_go_while_the_connection_is_open() -> None:
    venue = Venue(BTC)
    venue.session.subscribe([ETH, ETH, BTC])
    assert sent(venue) == [{"type": "subscribe", "product_ids": [ETH], "channel": "candles"}]
    assert len(updates(venue.update(row(T, product=ETH)))) == 1
    venue.session.unsubscribe([BTC, "NEVER-USD"])
    assert sent(venue) == [{"type": "unsubscribe", "product_ids": [BTC], "channel": "candles"}]
    assert venue.session.products == [ETH]


def test_products_can_come_and_go_while_it_is_closed() -> None:
    venue = Venue(BTC)
    venue.close()
    venue.session.subscribe([ETH])
    venue.session.unsubscribe([BTC])
    assert sent(venue) == []
    venue.open()
    assert venue.sent[0]["product_ids"] == [ETH]


def test_updates_after_an_unsubscribe_are_not_noise() -> None:
    venue = Venue(BTC, ETH)
    venue.session.unsubscribe([ETH])
    events = venue.update(row(T, product=ETH))
    assert not updates(events)
    assert not rejections(events)
    venue.ack(BTC)
    assert {gap.product for gap in gaps(venue.beats_until(T + 2 * STEP + 3))} == {BTC}


def test_an_alias_shares_the_stream_until_both_are_gone() -> None:
    venue = Venue(BTC, aliases={"BTC-USDC": BTC})
    venue.session.subscribe(["BTC-USDC"])
    assert sent(venue) == []
    assert {c.product for c in updates(venue.update(row(T)))} == {BTC, "BTC-USDC"}
    venue.session.unsubscribe([BTC])
    assert sent(venue) == []
    assert {c.product for c in updates(venue.update(row(T, volume=2)))} == {"BTC-USDC"}
    venue.session.unsubscribe(["BTC-USDC"])
    assert sent(venue) == [{"type": "unsubscribe", "product_ids": [BTC], "channel": "candles"}]


def test_a_refused_product_that_is_delivered_is_no_longer_refused() -> None:
    venue = Venue(BTC, ETH)
    venue.ack(BTC)
    assert [e.product for e in venue.pass_ms(2_000) if isinstance(e, ProductRefused)] == [ETH]
    assert len(updates(venue.update(row(T, product=ETH)))) == 1
    assert venue.session.snapshot(0).refused == ()
    assert [e.product for e in venue.pass_ms(100) if isinstance(e, ProductAccepted)] == [ETH]
    assert [e for e in venue.pass_ms(10_000) if isinstance(e, ProductAccepted | ProductRefused)] == []


def test_all_products_may_be_unknown() -> None:
    venue = Venue("NOPE-USD", "NIX-USD")
    venue.send("subscriptions", [{"subscriptions": {}}])
    venue.send("subscriptions", [{"subscriptions": {"heartbeats": ["heartbeats"]}}])
    assert {e.product for e in venue.pass_ms(2_000) if isinstance(e, ProductRefused)} == {"NOPE-USD", "NIX-USD"}


def test_the_snapshot_for_the_health_page() -> None:
    venue = Venue(BTC, "NOPE-USD")
    venue.update(row(T))
    venue.ack(BTC)
    venue.pass_ms(2_500)
    venue.deliver("garbage")
    venue.lose()
    venue.beat()
    snapshot = venue.session.snapshot(venue.now_ms)
    assert (snapshot.connection, snapshot.is_open, snapshot.attempt) == ("coinbase-1", True, 1)
    assert (snapshot.products, snapshot.accepted, snapshot.refused) == (2, 1, ("NOPE-USD",))
    assert (snapshot.frames, snapshot.rejected, snapshot.sequence_gaps) == (4, {"not JSON": 1}, 1)
    assert snapshot.exchange_ms == (T + 10) * 1000
    assert snapshot.silent_ms == {"candles": 2_500, "subscriptions": 2_500, "heartbeats": 0}


def test_an_alias_may_become_known_with_its_product() -> None:
    venue = Venue(BTC)
    venue.session.subscribe(["BTC-USDC", "ETH-USDC"], {"BTC-USDC": BTC, "ETH-USDC": ETH})
    assert sent(venue) == [{"type": "subscribe", "product_ids": [ETH], "channel": "candles"}]
    venue.session.subscribe(["BTC-USDC"], {"BTC-USDC": "OTHER-USD"})
    assert sent(venue) == [], "what feeds a product does not change while it is wanted"
    venue.session.unsubscribe(["ETH-USDC", "BTC-USDC"])
    assert sent(venue) == [{"type": "unsubscribe", "product_ids": [ETH], "channel": "candles"}]
    assert venue.session.products == [BTC]

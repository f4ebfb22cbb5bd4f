"""Any input: nothing raises, nothing is written, and the rejections are short."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchange.adapter import CandleClosed, CandleUpdated, FeedEvent, FrameRejected
from tests.unit.exchange.coinbase.venue import BTC, ETH, STEP, T, Venue, closes, rejections, row, timestamp, updates

KINDS = {
    "bad acknowledgement",
    "bad candle",
    "bad candles event",
    "bad envelope",
    "bad error frame",
    "error frame",
    "frame too large",
    "not JSON",
    "not an object",
    "product not subscribed",
}


def rejected(venue: Venue, events: list[FeedEvent]) -> bool:
    """Whether `events` are one short rejection of a known kind, and nothing else but the clock."""
    found = rejections(events)
    assert len(found) == 1
    assert len(found[0]) < 250
    assert set(venue.session.snapshot(0).rejected) <= KINDS
    return not any(isinstance(e, CandleUpdated | CandleClosed) for e in events)


@pytest.mark.parametrize(
    "data",
    [
        "",
        " ",
        "null",
        "[]",
        "7",
        '"candles"',
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        b"\xff\xfe\x00",
        b"\x00" * 1_000,
        "\ud800",
        "{}",
        '{"channel":"candles"}',
        '{"type":"error","message":5}',
        "NaN",
        '{"channel":"candles","sequence_num":NaN}',
    ],
    ids=lambda data: repr(data[:20]),
)
def test_invalid_frames(data: str | bytes) -> None:
    venue = Venue()
    assert rejected(venue, venue.deliver(data))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel", None),
        ("channel", ["candles"]),
        ("timestamp", None),
        ("timestamp", T),
        ("timestamp", "yesterday"),
        ("timestamp", "2026-01-22T14:50:10+00:00"),
        ("sequence_num", None),
        ("sequence_num", "0"),
        ("sequence_num", 0.0),
        ("sequence_num", True),
        ("sequence_num", -1),
        ("sequence_num", 2**53),
        ("sequence_num", 10**30),
        ("events", None),
        ("events", {}),
        ("events", "update"),
    ],
)
def test_an_envelope_with_a_wrong_field(field: str, value: object) -> None:
    venue = Venue()
    frame = venue.envelope("candles", [{"type": "update", "candles": [row(T)]}])
    assert rejected(venue, venue.deliver(frame | {field: value}))
    assert venue.session.snapshot(0).rejected == {"bad envelope": 1}


@pytest.mark.parametrize(
    "event",
    [
        None,
        1,
        "x",
        [],
        {},
        {"type": "update"},
        {"type": "update", "candles": {}},
        {"type": "delta", "candles": []},
        {"type": ["update"], "candles": []},
        {"type": "update", "candles": [[]]},
        {"type": "update", "candles": [None]},
    ],
    ids=repr,
)
def test_an_event_of_another_shape(event: object) -> None:
    venue = Venue()
    assert rejected(venue, venue.send("candles", [event]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": T},
        {"start": str(T + 1)},
        {"start": str(T + 0.5)},
        {"start": ""},
        {"start": "0"},
        {"start": f"-{T}"},
        {"start": "9" * 200},
        {"start": str(T + 2 * STEP)},
        {"start": str(T + 10**6 * STEP)},
        {"open": None},
        {"open": 100},
        {"open": "NaN"},
        {"open": "nan"},
        {"open": "Infinity"},
        {"open": "1e999"},
        {"open": "-100"},
        {"open": "+100"},
        {"open": " 100"},
        {"open": "1_00"},
        {"open": "١٠٠"},
        {"open": "0x64"},
        {"open": "1.0.0"},
        {"open": "."},
        {"open": "0"},
        {"open": ""},
        {"open": "9" * 400},
        {"open": ["100"]},
        {"high": "50"},
        {"low": "200"},
        {"close": "500"},
        {"volume": "-1"},
        {"volume": "inf"},
        {"product_id": None},
        {"product_id": 7},
        {"product_id": [BTC]},
        {"product_id": "DOGE-USD"},
        {"product_id": "x" * 10_000},
    ],
    ids=lambda wrong: repr(wrong)[:60],
)
def test_one_bad_candle_is_refused_and_the_good_ones_around_it_are_used(wrong: dict[str, Any]) -> None:
    venue = Venue(BTC, ETH)
    assert rejected(venue, venue.update(row(T) | wrong))
    good = row(T, volume=2, product=ETH)
    events = venue.update(good, row(T) | wrong, row(T, volume=3, product=BTC))
    assert [(c.product, c.volume) for c in updates(events)] == [(ETH, 2), (BTC, 3)]
    assert len(rejections(events)) == 1


@pytest.mark.parametrize("missing", ["start", "open", "high", "low", "close", "volume", "product_id"])
def test_a_candle_without_a_field(missing: str) -> None:
    venue = Venue()
    candle = row(T)
    del candle[missing]
    assert rejected(venue, venue.update(candle))


def test_one_bucket_ahead_of_the_clock_is_allowed() -> None:
    venue = Venue()
    assert len(updates(venue.update(row(T + STEP), at=T + 299.9))) == 1


@pytest.mark.parametrize("answer", [[7], [{"subscriptions": []}], [{"subscriptions": {"candles": [1]}}], [{}]])
def test_an_acknowledgement_of_another_shape(answer: list[object]) -> None:
    venue = Venue()
    assert rejected(venue, venue.send("subscriptions", answer))


def test_an_empty_acknowledgement_counts() -> None:
    venue = Venue()
    assert rejections(venue.send("subscriptions", [{"subscriptions": {}}])) == []


def test_a_very_long_error_message_is_cut() -> None:
    venue = Venue()
    assert rejected(venue, venue.deliver({"type": "error", "message": "x" * 100_000}))


def test_frames_outside_a_connection_are_not_read() -> None:
    venue = Venue()
    venue.close()
    assert venue.update(row(T)) == []
    assert venue.pass_ms(60_000) == []
    assert venue.close() == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
candle_like = st.fixed_dictionaries(
    {},
    optional={
        "start": st.sampled_from([str(T), str(T + STEP), str(T - STEP), T, "x"]) | json_values,
        "product_id": st.sampled_from([BTC, "DOGE-USD"]) | json_values,
        **{
            k: st.sampled_from(["100", "101", "0", "NaN"]) | json_values
            for k in ("open", "high", "low", "close", "volume")
        },
    },
)
event_like = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["update", "snapshot"]) | json_values,
        "candles": st.lists(candle_like | json_values, max_size=3) | json_values,
        "subscriptions": st.dictionaries(st.sampled_from(["candles", "heartbeats"]), json_values, max_size=2),
    },
)
frame_like = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from(["candles", "heartbeats", "subscriptions", "l2_data"]) | json_values,
        "timestamp": st.integers(0, 2**32).map(timestamp) | json_values,
        "sequence_num": st.integers(0, 6) | json_values,
        "events": st.lists(event_like | json_values, max_size=2) | json_values,
        "type": st.just("error") | json_values,
        "message": json_values,
    },
)


@given(st.lists(frame_like.map(json.dumps) | json_values.map(json.dumps) | st.text() | st.binary(), max_size=12))
def test_no_input_raises(frames: list[str | bytes]) -> None:
    venue = Venue()
    for data in frames:
        for event in venue.deliver(data) + venue.pass_ms(700):
            assert not isinstance(event, FrameRejected) or len(event.reason) < 250
    assert set(venue.session.snapshot(0).rejected) <= KINDS
    venue.close()


@given(st.data())
def test_a_frame_that_was_cut_or_overwritten_never_raises(data: st.DataObject) -> None:
    venue = Venue()
    whole = json.dumps(venue.envelope("candles", [{"type": "update", "candles": [row(T)]}])).encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.binary(max_size=6))
    venue.deliver(whole[:at])
    venue.deliver(whole[:at] + noise + whole[at + len(noise) :])
    assert closes(venue.beats_until(T + 299)) == []

"""A stream with damaged frames: every candle is as sent by the exchange, or a gap."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchange.adapter import FeedEvent
from app.market.candles import UnifiedCandle
from tests.unit.exchange.coinbase.test_hostile_frames import KINDS, json_values
from tests.unit.exchange.coinbase.venue import BTC, ETH, STEP, T, Venue, closes, gaps, row, updates

FRAMES = 48
EVERY_S = 25
"""Exchange seconds between two frames; one second of real time."""

Frame = dict[str, Any]
Numbers = tuple[float, float, float, float, float]


class Stream(NamedTuple):
    """A stream, all states of each candle in order, and the number of the frame with the last state."""

    frames: list[tuple[float, Frame]]
    states: dict[tuple[str, int], list[Numbers]]
    final: dict[tuple[str, int], int]


def numbers(candle: UnifiedCandle) -> Numbers:
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def stream(seed: int) -> Stream:
    """Updates of two products and heartbeats, over four buckets; each product trades in most of its buckets."""
    chance, writer = random.Random(seed), Venue(BTC, ETH)
    sent = Stream([], {}, {})
    for number in range(FRAMES):
        writer.time_s = T + 10 + number * EVERY_S
        start = int(writer.time_s) // STEP * STEP
        rows = []
        for product in (BTC, ETH):
            if number % 3 and chance.random() < 0.6:
                states = sent.states.setdefault((product, start), [])
                close = chance.choice((100, 103, 97))
                rows.append(row(start, volume=len(states) + 1, close=close, product=product))
                sent.final[product, start] = number
                states.append((100, max(close, 100) + 5, min(close, 100) - 5, close, len(states) + 1))
        event: Frame = {"type": "update", "candles": rows}
        frame = writer.envelope("candles", [event]) if rows else writer.envelope("heartbeats", [{}])
        sent.frames.append((writer.time_s, frame))
    return sent


class Session:
    """A session, and its events."""

    def __init__(self) -> None:
        self.venue = Venue(BTC, ETH)
        self.events: list[FeedEvent] = self.venue.ack(BTC, ETH)

    def take(self, time_s: float, data: str | bytes) -> None:
        self.venue.time_s = time_s
        self.events += self.venue.deliver(data)

    def pass_second(self) -> None:
        """As the connection's thread does: tick, and reconnect if the session requests it."""
        self.events += self.venue.pass_ms(1_000)
        if self.venue.session.must_reconnect:
            self.events += self.venue.close("the session wants it") + self.venue.open() + self.venue.ack(BTC, ETH)

    def write(self, frame: Frame) -> Frame:
        """`frame` with the current number of this connection."""
        frame = {**json.loads(json.dumps(frame)), "sequence_num": self.venue.seq}
        self.venue.seq += 1
        return frame

    def end(self) -> None:
        """Heartbeats until every bucket can be decided."""
        for number in range(FRAMES, FRAMES + STEP // EVERY_S + 8):
            self.events += self.venue.beat(T + 10 + number * EVERY_S)
            self.pass_second()


def field_of(rows: list[Frame], number: int) -> tuple[Frame, str]:
    names = sorted(rows[0])
    return rows[number % len(rows)], names[number % len(names)]


def spoil(frame: Frame, number: int, junk: object) -> Frame:
    """Replace a field of a row by an invalid value."""
    for event in frame["events"]:
        if event.get("candles"):
            target, name = field_of(event["candles"], number)
            target[name] = f"!{junk}" if name == "product_id" or isinstance(junk, str) else junk
    return frame


def drop_field(frame: Frame, number: int, _: object) -> Frame:
    for event in frame["events"]:
        if event.get("candles"):
            target, name = field_of(event["candles"], number)
            del target[name]
    return frame


def replace_row(frame: Frame, number: int, junk: object) -> Frame:
    for event in frame["events"]:
        if event.get("candles"):
            event["candles"][number % len(event["candles"])] = junk if not isinstance(junk, dict) else [junk]
    return frame


def replace_event(frame: Frame, _: int, junk: object) -> Frame:
    return {**frame, "events": [junk]} if frame["channel"] == "candles" else frame


def break_envelope(frame: Frame, number: int, junk: object) -> Frame:
    name = ("channel", "timestamp", "sequence_num", "events")[number % 4]
    return {**frame, name: f"!{junk}" if name in ("timestamp", "sequence_num", "events") else [junk]}


def misnumber(frame: Frame, number: int, _: object) -> Frame:
    return {**frame, "sequence_num": number}


MUTATIONS: tuple[Callable[[Frame, int, object], Frame], ...] = (
    spoil,
    drop_field,
    replace_row,
    replace_event,
    break_envelope,
    misnumber,
)


def cut(data: str, number: int) -> str:
    return data[: number % len(data)]


def lost(_: str, __: int) -> None:
    return None


def check(sent: Stream, events: Iterable[FeedEvent]) -> None:
    """No other candle is published; a closed candle is the last state; every other bucket is a gap."""
    events = list(events)
    for candle in updates(events):
        assert numbers(candle) in sent.states[candle.product, candle.start_s]
    closed = {(c.product, c.start_s): numbers(c) for c in closes(events)}
    for key, values in closed.items():
        assert values == sent.states[key][-1], key
    in_gaps = {(gap.product, start) for gap in gaps(events) for start in range(gap.first_s, gap.last_s + STEP, STEP)}
    assert set(sent.states) <= closed.keys() | in_gaps


mutations = st.tuples(st.sampled_from([*MUTATIONS, cut, lost, "twice"]), st.integers(0, 60), json_values)


@given(
    st.integers(0, 50), st.dictionaries(st.integers(0, FRAMES - 1), mutations, max_size=6), st.integers(0), mutations
)
def test_a_stream_with_damaged_frames(seed: int, anywhere: dict[int, Any], which_final: int, final: Any) -> None:
    """One of them has the last state of a candle: no later frame repeats it."""
    sent, received = stream(seed), Session()
    finals = list(sent.final.values())
    mutilated = {**anywhere, finals[which_final % len(finals)]: final}
    for number, (time_s, frame) in enumerate(sent.frames):
        how, which, junk = mutilated.get(number, (None, 0, None))
        written = received.write(frame)
        if how in MUTATIONS:
            written = how(written, which, junk)
        data: str | None = json.dumps(written)
        if how in (cut, lost):
            data = how(data, which * 7)
        for _ in range(2 if how == "twice" else 1):
            if data is not None:
                received.take(time_s, data)
        received.pass_second()
    received.end()
    check(sent, received.events)
    assert set(received.venue.session.snapshot(0).rejected) <= KINDS


@pytest.mark.parametrize("seed", range(5))
def test_a_whole_stream_is_closed_to_the_last_candle(seed: int) -> None:
    sent, received = stream(seed), Session()
    for time_s, frame in sent.frames:
        received.take(time_s, json.dumps(received.write(frame)))
        received.pass_second()
    received.end()
    check(sent, received.events)
    assert {(c.product, c.start_s) for c in closes(received.events)} == set(sent.states)

"""A stream of which some frames arrive mutilated: what is told of a candle is what the exchange said, or a gap."""

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


class Said(NamedTuple):
    """A stream, all states of each candle in it, in their order, and the number of the frame with the last one."""

    frames: list[tuple[float, Frame]]
    states: dict[tuple[str, int], list[Numbers]]
    final: dict[tuple[str, int], int]


def numbers(candle: UnifiedCandle) -> Numbers:
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def stream(seed: int) -> Said:
    """Updates of two products and heartbeats, over four buckets; each product trades in most of its buckets."""
    chance, writer = random.Random(seed), Venue(BTC, ETH)
    said = Said([], {}, {})
    for number in range(FRAMES):
        writer.time_s = T + 10 + number * EVERY_S
        start = int(writer.time_s) // STEP * STEP
        rows = []
        for product in (BTC, ETH):
            if number % 3 and chance.random() < 0.6:
                states = said.states.setdefault((product, start), [])
                close = chance.choice((100, 103, 97))
                rows.append(row(start, volume=len(states) + 1, close=close, product=product))
                said.final[product, start] = number
                states.append((100, max(close, 100) + 5, min(close, 100) - 5, close, len(states) + 1))
        event: Frame = {"type": "update", "candles": rows}
        frame = writer.envelope("candles", [event]) if rows else writer.envelope("heartbeats", [{}])
        said.frames.append((writer.time_s, frame))
    return said


class Heard:
    """What the session made of it."""

    def __init__(self) -> None:
        self.venue = Venue(BTC, ETH)
        self.events: list[FeedEvent] = self.venue.ack(BTC, ETH)

    def take(self, time_s: float, data: str | bytes) -> None:
        self.venue.time_s = time_s
        self.events += self.venue.deliver(data)

    def pass_second(self) -> None:
        """As the connection's thread does: tick, and open anew where the session asks for it."""
        self.events += self.venue.pass_ms(1_000)
        if self.venue.session.must_reconnect:
            self.events += self.venue.close("the session wants it") + self.venue.open() + self.venue.ack(BTC, ETH)

    def write(self, frame: Frame) -> Frame:
        """`frame` with the number that this connection is at."""
        frame = {**json.loads(json.dumps(frame)), "sequence_num": self.venue.seq}
        self.venue.seq += 1
        return frame

    def end(self) -> None:
        """Heartbeats, until whatever was said can be decided."""
        for number in range(FRAMES, FRAMES + STEP // EVERY_S + 8):
            self.events += self.venue.beat(T + 10 + number * EVERY_S)
            self.pass_second()


def field_of(rows: list[Frame], number: int) -> tuple[Frame, str]:
    names = sorted(rows[0])
    return rows[number % len(rows)], names[number % len(names)]


def spoil(frame: Frame, number: int, junk: object) -> Frame:
    """A field of a row becomes something that it can never be."""
    for event in frame["events"]:
        if event.get("candles"):
            target, name = field_of(event["candles"], number)
            target[name] = f"!{junk}" if name == "product_id" or isinstance(junk, str) else junk
    return frame


def lack(frame: Frame, number: int, _: object) -> Frame:
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
    lack,
    replace_row,
    replace_event,
    break_envelope,
    misnumber,
)


def cut(data: str, number: int) -> str:
    return data[: number % len(data)]


def lost(_: str, __: int) -> None:
    return None


def check(said: Said, events: Iterable[FeedEvent]) -> None:
    """Nothing is told that was not said; a closed candle is what was said last; what is not closed is a gap."""
    events = list(events)
    for candle in updates(events):
        assert numbers(candle) in said.states[candle.product, candle.start_s]
    closed = {(c.product, c.start_s): numbers(c) for c in closes(events)}
    for key, told in closed.items():
        assert told == said.states[key][-1], key
    doubted = {(gap.product, start) for gap in gaps(events) for start in range(gap.first_s, gap.last_s + STEP, STEP)}
    assert set(said.states) <= closed.keys() | doubted


mutations = st.tuples(st.sampled_from([*MUTATIONS, cut, lost, "twice"]), st.integers(0, 60), json_values)


@given(
    st.integers(0, 50), st.dictionaries(st.integers(0, FRAMES - 1), mutations, max_size=6), st.integers(0), mutations
)
def test_a_stream_with_mutilated_frames(seed: int, anywhere: dict[int, Any], which_final: int, final: Any) -> None:
    """One of them has the last state of a candle: what is lost there no later frame says again."""
    said, heard = stream(seed), Heard()
    finals = list(said.final.values())
    mutilated = {**anywhere, finals[which_final % len(finals)]: final}
    for number, (time_s, frame) in enumerate(said.frames):
        how, which, junk = mutilated.get(number, (None, 0, None))
        written = heard.write(frame)
        if how in MUTATIONS:
            written = how(written, which, junk)
        data: str | None = json.dumps(written)
        if how in (cut, lost):
            data = how(data, which * 7)
        for _ in range(2 if how == "twice" else 1):
            if data is not None:
                heard.take(time_s, data)
        heard.pass_second()
    heard.end()
    check(said, heard.events)
    assert set(heard.venue.session.snapshot(0).rejected) <= KINDS


@pytest.mark.parametrize("seed", range(5))
def test_a_whole_stream_is_closed_to_the_last_candle(seed: int) -> None:
    said, heard = stream(seed), Heard()
    for time_s, frame in said.frames:
        heard.take(time_s, json.dumps(heard.write(frame)))
        heard.pass_second()
    heard.end()
    check(said, heard.events)
    assert {(c.product, c.start_s) for c in closes(heard.events)} == set(said.states)

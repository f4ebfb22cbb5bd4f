"""Frames that public projects captured on the live exchange, or made after its documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.exchange.adapter import ClockTick
from app.exchange.coinbase.models import Envelope, VenueError, decode, listed_product
from tests.recorded import FRAMES
from tests.unit.exchange.coinbase.venue import Venue, rejections, updates

RECORDINGS = sorted(FRAMES.glob("*/ws_*.json"))


def frames(path: Path) -> Iterator[dict[str, Any]]:
    """Every frame from the exchange in `path`, in any of their formats."""
    whole = json.loads(path.read_text())
    for item in whole if isinstance(whole, list) else [whole]:
        frame = item.get("frame", item)
        if item.get("dir", "server").startswith("server"):
            yield frame


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_captured_frame_is_understood(path: Path) -> None:
    for frame in frames(path):
        assert isinstance(decode(json.dumps(frame)), Envelope | VenueError)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_captured_recording_passes_through_a_session(path: Path) -> None:
    venue = Venue("BTC-USD", "ETH-USD", "ETH-USDT")
    events = [event for frame in frames(path) for event in venue.deliver(frame)]
    reasons = [reason for reason in rejections(events) if not reason.startswith("the exchange says")]
    assert all("bad candle" in reason for reason in reasons), "of documentation samples whose times do not fit together"
    assert any(isinstance(event, ClockTick) for event in events)


def test_the_recorded_updates_become_candles() -> None:
    events = json.loads((FRAMES / "livermore" / "candle_updates.json").read_text())
    assert len(events) >= 10
    candles = [c for e in events for c in e["candles"]]
    venue = Venue(*{c["product_id"] for c in candles})
    venue.time_s = int(candles[0]["start"]) + 10
    shown = [c for event in events for c in updates(venue.send("candles", [event]))]
    assert {(c.product, str(c.start_s), c.volume) for c in shown} == {
        (c["product_id"], c["start"], float(c["volume"])) for c in candles
    }


def test_the_recorded_product_is_tradable() -> None:
    product = listed_product(json.loads((FRAMES / "nautilus" / "http_product.json").read_text()))
    assert product.is_tradable
    assert product.quote_volume_24h == 758506771.41

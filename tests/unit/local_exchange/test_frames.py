"""Frames look like the captured ones."""

from __future__ import annotations

import json

import pytest

from simulator import frames
from simulator.garbage import Numbered, Raw, garbage
from simulator.market import Product, Trades
from simulator.stream_faults import GarbageKind

BTC = Product("BTC-USD", 2)


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (1_784_172_571_164_071_310, "2026-07-16T03:29:31.16407131Z"),
        (1_784_172_571_000_000_000, "2026-07-16T03:29:31Z"),
        (1_784_172_571_000_000_001, "2026-07-16T03:29:31.000000001Z"),
    ],
)
def test_timestamps_have_up_to_nine_digits_and_no_trailing_zeros(time_ns: int, text: str) -> None:
    assert frames.rfc3339_nano(time_ns) == text


def test_heartbeats_carry_the_time_as_go_prints_it() -> None:
    events = frames.heartbeat(1_784_172_571_162_919_428, 75_535, 75_535_317_746_472, text=False)
    assert json.loads(events) == [
        {"current_time": "2026-07-16 03:29:31.162919428 +0000 UTC m=+75535.317746472", "heartbeat_counter": 75_535}
    ]
    assert json.loads(frames.heartbeat(0, 5, 5, text=True))[0]["heartbeat_counter"] == "5"


def test_an_envelope_has_the_members_of_the_captured_ones() -> None:
    row = (1_769_092_800, 8_951_621, 8_964_019, 8_925_602, 8_936_599, 8_026_022_939)
    frame = frames.envelope("candles", "2026-01-22T14:44:35Z", 3, frames.candles("update", BTC, [row]))
    assert json.loads(frame) == {
        "channel": "candles",
        "timestamp": "2026-01-22T14:44:35Z",
        "sequence_num": 3,
        "events": [
            {
                "type": "update",
                "candles": [
                    {
                        "start": "1769092800",
                        "high": "89640.19",
                        "low": "89256.02",
                        "open": "89516.21",
                        "close": "89365.99",
                        "volume": "80.26022939",
                        "product_id": "BTC-USD",
                    }
                ],
            }
        ],
    }
    assert json.loads(frames.envelope("candles", "", 0, "[]", client_id=True))["client_id"] == ""


def test_acknowledgements_name_heartbeats_and_leave_out_empty_channels() -> None:
    events = frames.subscriptions({"heartbeats": {"heartbeats": None}, "candles": {"BTC-USD": None}, "ticker": {}})
    assert json.loads(events) == [{"subscriptions": {"heartbeats": ["heartbeats"], "candles": ["BTC-USD"]}}]
    assert json.loads(frames.subscriptions({})) == [{"subscriptions": {}}]


def test_trades_come_newest_first() -> None:
    trades = Trades.one(1_000, 6_461_466, 8_810, 7).merged(Trades.one(2_500, 6_461_400, 18, 8))
    newest, oldest = frames.trade_rows(BTC, trades, "BTC-USDC")
    assert newest == {
        "product_id": "BTC-USDC",
        "trade_id": "8",
        "price": "64614",
        "size": "0.00000018",
        "time": "1970-01-01T00:00:02.5Z",
        "side": "SELL",
    }
    assert oldest["trade_id"] == "7"


@pytest.mark.parametrize("kind", GarbageKind.__args__)  # type: ignore[attr-defined]
def test_there_is_garbage_of_every_kind(kind: GarbageKind) -> None:
    frame = garbage(kind, "BTC-USD", 1_769_092_800_000)
    if isinstance(frame, Numbered):
        assert isinstance(json.loads(frame.events), list)
    else:
        assert isinstance(frame, Raw)
        assert frame.data

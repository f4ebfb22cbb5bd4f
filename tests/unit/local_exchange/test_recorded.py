"""The candles of a recording."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from simulator.replay import ReplayMarket
from simulator.trade_log import TradeLog

START = 1_614_816_000


def row(start_s: int, volume: str, close: str = "1.5", **more: str) -> dict[str, str]:
    return {"start": str(start_s), "open": "1", "high": "2", "low": "0.5", "close": close, "volume": volume, **more}


def frame(at_s: int, *rows: dict[str, str], channel: str = "candles", kind: str = "update") -> dict[str, Any]:
    minutes, seconds = divmod(at_s - START, 60)
    data = {
        "channel": channel,
        "timestamp": f"2021-03-04T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}Z",
        "sequence_num": 0,
        "events": [{"type": kind, "candles": [*rows]}],
    }
    return {"kind": "frame", "exchange": "coinbase", "at_ms": 1, "connection": "c", "data": json.dumps(data)}


def response(product: str, *rows: dict[str, str], status: int = 200) -> dict[str, Any]:
    return {
        "kind": "response",
        "exchange": "coinbase",
        "at_ms": 1,
        "path": f"/market/products/{product}/candles",
        "params": {"granularity": "FIVE_MINUTE"},
        "status": status,
        "text": json.dumps({"candles": [*rows]}),
    }


HEAD = {"kind": "recording", "exchange": "coinbase", "at_ms": 1, "version": 1, "products": []}


def write(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_bytes(gzip.compress(b"".join(json.dumps(entry).encode() + b"\n" for entry in (HEAD, *entries))))
    return path


def truth(path: Path, product: str) -> list[tuple[int, str, str]]:
    rows = TradeLog(ReplayMarket(path)).truth(
        product, Timeframe.M5, START - 3_000, START + 3_000, (START + 9_000) * 1000
    )
    return [(int(r["start"]) - START, r["close"], r["volume"]) for r in rows]


def test_the_state_with_the_most_volume_is_the_last_one_of_a_bucket(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.gz",
        frame(START + 10, row(START, "1", product_id="AB-USD")),
        frame(START + 200, row(START, "3", "1.7", product_id="AB-USD")),
        frame(START + 210, row(START, "2", "1.6", product_id="AB-USD")),
        response("AB-USD", row(START + 300, "0.25"), row(START, "2")),
        frame(START + 600, channel="heartbeats"),
    )
    assert truth(path, "AB-USD") == [(0, "1.7", "3"), (300, "1.5", "0.25")]


def test_snapshots_are_not_history(tmp_path: Path) -> None:
    old = frame(START + 10, row(START - 900, "1", product_id="AB-USD"), kind="snapshot")
    path = write(tmp_path / "r.gz", old, response("AB-USD", row(START, "1")), frame(START + 600, channel="heartbeats"))
    assert truth(path, "AB-USD") == [(0, "1.5", "1")]


def test_an_open_bucket_and_one_without_volume_are_left_out(tmp_path: Path) -> None:
    rows = (row(START + 300, "5"), row(START, "1"), row(START - 300, "0"))
    path = write(tmp_path / "r.gz", response("AB-USD", *rows), frame(START + 599, channel="heartbeats"))
    assert truth(path, "AB-USD") == [(0, "1.5", "1")]


def test_what_no_program_can_read_is_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.gz",
        response("AB-USD", row(START, "1"), row(START + 300, "nan"), row(START + 307, "1"), {"start": "x"}),
        response("AB-USD", row(START - 300, "9"), status=500),
        {**frame(START + 600), "data": "<html>"},
        frame(START + 600, row(START + 300, "1", high="0.1", product_id="AB-USD")),
        frame(START + 900, channel="heartbeats"),
    )
    assert truth(path, "AB-USD") == [(0, "1.5", "1")]


def test_an_alias_is_not_a_product_of_its_own(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.gz",
        response("AB-USDC", row(START, "1")),
        response("AB-USD", row(START, "1")),
        frame(START + 600, channel="heartbeats"),
    )
    market = ReplayMarket(path)
    assert list(market.products) == ["AB-USD"]
    assert market.products["AB-USD"].aliases == ("AB-USDC",)


def test_a_recording_that_was_cut_is_used_up_to_there(tmp_path: Path) -> None:
    many = [frame(START + n, row(START - 300 * n, str(n + 1), product_id="AB-USD")) for n in range(400)]
    path = write(tmp_path / "r.gz", *many)
    path.write_bytes(path.read_bytes()[:-40])
    assert truth(path, "AB-USD")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("{}", "not a recording"),
        ("[1]", "not a recording"),
        (json.dumps(HEAD) + "\n{}", ":2: not an entry of a recording"),
        (json.dumps(HEAD) + "\n{", "cannot be read"),
        (json.dumps(HEAD), "no candle of a bucket that was over"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, lines: str, complaint: str) -> None:
    path = tmp_path / "r.gz"
    path.write_bytes(gzip.compress(lines.encode()))
    with pytest.raises(InvalidInput, match=complaint):
        ReplayMarket(path)


def test_a_file_that_is_not_compressed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    path.write_text(json.dumps(HEAD))
    with pytest.raises(InvalidInput, match="cannot be read"):
        ReplayMarket(path)

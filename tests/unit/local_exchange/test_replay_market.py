"""The replayed market: trades that aggregate to exactly the candles of the files."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from simulator.market import candles_of
from simulator.replay import ReplayMarket
from simulator.trade_log import TradeLog
from tests.recorded import CANDLES

HEADER = "start,open,high,low,close,volume\n"
GOOD = "1515560100,0.1,0.3,0.05,0.2,0.00000003\n1515560400,0.2,0.2,0.2,0.2,0\n1515560700,2e-1,0.25,0.2,0.21,12.5\n"


@pytest.mark.parametrize("product", ["ETH-BTC", "XLM-BTC"])
def test_real_candles_come_back_exactly(product: str) -> None:
    with gzip.open(CANDLES / f"{product}-5m.csv.gz", "rt") as file:
        rows = [{name: Decimal(value) for name, value in row.items()} for row in csv.DictReader(file)]
    market = ReplayMarket(CANDLES)
    first, last = int(rows[0]["start"]), int(rows[-1]["start"])
    now_ms = (last + 300) * 1000
    truth = TradeLog(market).truth(product, Timeframe.M5, first, last + 300, now_ms)
    assert [{name: Decimal(value) for name, value in row.items()} for row in truth] == rows


def test_each_candle_becomes_five_trades_and_an_empty_one_none(tmp_path: Path) -> None:
    (tmp_path / "ABC-BTC-5m.csv").write_text(HEADER + GOOD)
    market = ReplayMarket(tmp_path)
    trades = market.trades("ABC-BTC", 0, 2**61)
    assert len(trades) == 10
    assert np.all(trades.size > 0)
    assert trades.trade_id.tolist() == list(range(1, 11))
    assert len(np.unique(trades.time_ms // 60_000)) == 10
    candles, product = candles_of(trades, 300), market.products["ABC-BTC"]
    assert [product.size(int(volume)) for volume in candles["volume"]] == ["0.00000003", "12.5"]
    assert [product.price(int(low)) for low in candles["low"]] == ["0.05", "0.2"]
    assert market.span_s[0] // 300 * 300 == 1515560100


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n", ":1: the columns are"),
        (HEADER, "no candle with volume"),
        (HEADER + "1515560100,1,1,1,1\n", ":2: .*not six finite numbers"),
        (HEADER + "1515560100,1,1,1,1,x\n", ":2: .*not a number"),
        (HEADER + "1515560100,1,1,1,1,NaN\n", ":2: .*not six finite numbers"),
        (HEADER + "1515560101,1,1,1,1,1\n", ":2: start 1515560101 is not the start of a 5-minute bucket"),
        (HEADER + "1515560100,1,0.9,0.8,0.85,1\n", ":2: prices must be above 0"),
        (HEADER + "1515560100,1,1,0,1,1\n", ":2: prices must be above 0"),
        (HEADER + "1515560100,1,1,1,1,-1\n", ":2: volume -1 is below 0"),
        (HEADER + "1515560400,1,1,1,1,1\n1515560100,1,1,1,1,1\n", ":3: start 1515560100 does not come after"),
        (HEADER + "1515560100,1,1,1,1,1e-20\n", "more than 14 decimals"),
        (HEADER + "1515560100,1e16,1e16,1e-8,1,1\n", ":2: a number is too large"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "ABC-BTC-5m.csv").write_text(text)
    with pytest.raises(InvalidInput, match=complaint):
        ReplayMarket(tmp_path)


def test_a_folder_without_candles_and_a_broken_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        ReplayMarket(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="no file named like"):
        ReplayMarket(tmp_path)
    (tmp_path / "ABC-BTC-5m.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(InvalidInput, match="cannot be read"):
        ReplayMarket(tmp_path)


def test_a_product_in_two_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ABC-BTC-5m.csv").write_text(HEADER + GOOD)
    (tmp_path / "ABC-BTC-5m.csv.gz").write_bytes(gzip.compress((HEADER + GOOD).encode()))
    with pytest.raises(InvalidInput, match="already read"):
        ReplayMarket(tmp_path)

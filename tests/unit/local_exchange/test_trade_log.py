"""The trade log: candles of every timeframe from the same trades, independent of earlier requests, and late prints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from simulator.market import CANDLE, Candles, candles_of, decimal_text
from simulator.seeded import SeededMarket
from simulator.trade_log import TradeLog

NOW_S = 1_614_816_000 + 137
NOW_MS = NOW_S * 1000
MARKET = SeededMarket(7, start_s=NOW_S)


def aggregated(candles: Candles, seconds: int) -> Candles:
    """Longer candles from shorter ones, by the textbook."""
    rows = []
    for start in np.unique(candles["start_s"] // seconds * seconds):
        part = candles[candles["start_s"] // seconds * seconds == start]
        rows.append(
            (start, part["open"][0], part["high"].max(), part["low"].min(), part["close"][-1], part["volume"].sum())
        )
    return np.array(rows, CANDLE)


@pytest.mark.parametrize("timeframe", [t for t in Timeframe if t is not Timeframe.M1])
@pytest.mark.parametrize("product", ["ETH-USD", "FARM-USD"])
def test_every_timeframe_is_the_aggregate_of_the_minutes(product: str, timeframe: Timeframe) -> None:
    trade_log, start_s = TradeLog(MARKET), timeframe.bucket(NOW_S - 3 * 86_400)
    minutes = trade_log.candles(product, Timeframe.M1, start_s, NOW_S, NOW_MS)
    candles = trade_log.candles(product, timeframe, start_s, NOW_S, NOW_MS)
    assert np.array_equal(candles, aggregated(minutes, timeframe.seconds))


@settings(max_examples=25, deadline=None)
@given(ranges=st.lists(st.tuples(st.integers(1, 900), st.integers(0, 400)), min_size=1, max_size=6))
def test_earlier_requests_change_no_response(ranges: list[tuple[int, int]]) -> None:
    trade_log = TradeLog(MARKET, pages=2, series=1)
    for back, length in ranges:
        start_s = NOW_S - back * 300
        got = trade_log.candles("MLN-USD", Timeframe.M5, start_s, start_s + length * 300, NOW_MS)
        fresh = TradeLog(MARKET).candles("MLN-USD", Timeframe.M5, start_s, start_s + length * 300, NOW_MS)
        assert np.array_equal(got, fresh)


def test_the_open_bucket_holds_the_trades_until_now() -> None:
    trade_log, open_s = TradeLog(MARKET), Timeframe.M5.bucket(NOW_S)
    last = trade_log.candles("BTC-USD", Timeframe.M5, open_s - 300, NOW_S + 9_000, NOW_MS)[-1]
    trades = MARKET.trades("BTC-USD", open_s * 1000, NOW_MS + 1)
    assert last == candles_of(trades, 300)[0]
    assert trade_log.truth("BTC-USD", Timeframe.M5, open_s - 300, NOW_S + 9_000, NOW_MS)[-1]["start"] == str(
        open_s - 300
    )


def test_a_new_product_has_no_candle_before_its_listing() -> None:
    trade_log = TradeLog(MARKET)
    first = trade_log.candles("ZETA-USD", Timeframe.M5, NOW_S - 86_400, NOW_S, NOW_MS)[0]
    assert first["start_s"] * 1000 >= MARKET.products["ZETA-USD"].listed_ms - 300_000


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_a_late_print_changes_its_bucket_in_every_timeframe_and_nothing_else(timeframe: Timeframe) -> None:
    trade_log, start_s = TradeLog(MARKET), Timeframe.M5.bucket(NOW_S) - 600
    first_s = timeframe.bucket(start_s) - 3 * timeframe.seconds
    before = trade_log.candles("BTC-USD", timeframe, first_s, NOW_S, NOW_MS)
    trade_log.print_late("BTC-USD", start_s, NOW_MS)
    after = trade_log.candles("BTC-USD", timeframe, first_s, NOW_S, NOW_MS)
    changed = after[after != before]["start_s"].tolist()
    assert changed == [timeframe.bucket(start_s + 299)]


def test_a_late_print_fills_an_empty_bucket() -> None:
    trade_log = TradeLog(MARKET)
    starts = trade_log.candles("FARM-USD", Timeframe.M5, NOW_S - 86_400, NOW_S, NOW_MS)["start_s"].tolist()
    empty = next(s + 300 for s in starts if s + 300 not in starts)
    trade_log.print_late("FARM-USD", empty, NOW_MS)
    [candle] = trade_log.truth("FARM-USD", Timeframe.M5, empty, empty + 300, NOW_MS)
    assert candle["open"] == candle["close"]


def test_a_late_print_in_an_open_or_misaligned_bucket_is_refused() -> None:
    trade_log = TradeLog(MARKET)
    for start_s in (Timeframe.M5.bucket(NOW_S), 7):
        with pytest.raises(InvalidInput, match="is not the start of a 5m bucket that is over"):
            trade_log.print_late("BTC-USD", start_s, NOW_MS)
    with pytest.raises(InvalidInput, match="no product 'NOPE-USD'"):
        trade_log.print_late("NOPE-USD", Timeframe.M5.bucket(NOW_S) - 300, NOW_MS)


def test_trading_ends_with_a_delisting_and_starts_with_a_listing() -> None:
    trade_log = TradeLog(MARKET)
    trade_log.delist_product("BTC-USD", NOW_MS)
    trade_log.list_product("TIA-USD", NOW_MS)
    later_ms = NOW_MS + 3_600_000
    assert not trade_log.is_online("BTC-USD", later_ms)
    assert len(trade_log.trades("BTC-USD", NOW_MS, later_ms)) == 0
    assert len(trade_log.trades("TIA-USD", NOW_MS - 3_600_000, NOW_MS)) == 0
    assert len(trade_log.trades("TIA-USD", NOW_MS, later_ms)) > 0
    with pytest.raises(InvalidInput, match="is not listed"):
        trade_log.delist_product("BTC-USD", later_ms)
    with pytest.raises(InvalidInput, match="already listed"):
        trade_log.list_product("ETH-USD", later_ms)


def test_pages_and_long_ranges_give_the_same_trades() -> None:
    trade_log = TradeLog(MARKET)
    start_ms = NOW_MS - 9 * 3_600_000
    whole = trade_log.trades("ETH-USD", start_ms, NOW_MS)
    hours = [trade_log.trades("ETH-USD", start_ms + n * 3_600_000, start_ms + (n + 1) * 3_600_000) for n in range(9)]
    assert np.concatenate([h.trade_id for h in hours]).tolist() == whole.trade_id.tolist()


def test_the_last_trades_are_the_newest_ones() -> None:
    trade_log = TradeLog(MARKET)
    got = trade_log.last_trades("FARM-USD", NOW_MS, 100)
    assert (
        got.trade_id.tolist() == trade_log.trades("FARM-USD", NOW_MS - 20 * 86_400_000, NOW_MS).trade_id[-100:].tolist()
    )


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 2, "0"), (1, 2, "0.01"), (6_461_400, 2, "64614"), (1_222, 2, "12.22"), (10, 8, "0.0000001"), (7, 0, "7")],
)
def test_decimals_are_written_plainly_without_trailing_zeros(units: int, decimals: int, text: str) -> None:
    assert decimal_text(units, decimals) == text

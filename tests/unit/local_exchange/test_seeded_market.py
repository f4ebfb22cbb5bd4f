"""The generated market: always the same, readable in any part, with the products that tests need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from simulator.market import NEVER_MS, Trades, candles_of
from simulator.seeded import MAX_PER_MINUTE, SeededMarket

START_S = 1_614_816_000
START_MS = START_S * 1000
HOUR_MS = 3_600_000
MARKET = SeededMarket(7, start_s=START_S)


def columns(trades: Trades) -> list[tuple[int, ...]]:
    fields = (trades.time_ms, trades.price, trades.size, trades.trade_id, trades.sell)
    return list(zip(*(field.tolist() for field in fields), strict=True))


@settings(max_examples=30, deadline=None)
@given(
    product=st.sampled_from(["BTC-USD", "FARM-USD", "ETH-BTC", "SHIB-USD"]),
    offset_ms=st.integers(-20 * HOUR_MS, 20 * HOUR_MS),
    length_ms=st.integers(0, 3 * HOUR_MS),
)
def test_any_part_equals_the_same_part_of_the_whole(product: str, offset_ms: int, length_ms: int) -> None:
    start_ms = START_MS + offset_ms
    whole = MARKET.trades(product, START_MS - 24 * HOUR_MS, START_MS + 24 * HOUR_MS)
    part = MARKET.trades(product, start_ms, start_ms + length_ms)
    assert columns(part) == columns(whole.between(start_ms, start_ms + length_ms))


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    again, other = SeededMarket(7, start_s=START_S), SeededMarket(8, start_s=START_S)
    ours = columns(MARKET.trades("BTC-USD", START_MS, START_MS + HOUR_MS))
    assert columns(again.trades("BTC-USD", START_MS, START_MS + HOUR_MS)) == ours
    assert columns(other.trades("BTC-USD", START_MS, START_MS + HOUR_MS)) != ours


def test_the_market_never_changes_between_releases() -> None:
    """A bot tested against seed 7 must find the same candles next year."""
    assert columns(MARKET.trades("BTC-USD", START_MS, START_MS + 60_000)) == FIRST_MINUTE


@pytest.mark.parametrize("product", ["BTC-USD", "NMR-USD", "FARM-USD", "USDT-USDC"])
def test_trades_are_in_order_densely_numbered_and_few_enough(product: str) -> None:
    trades = MARKET.trades(product, START_MS - 48 * HOUR_MS, START_MS)
    assert np.all(np.diff(trades.time_ms) >= 0)
    assert np.all(np.diff(trades.trade_id) == 1)
    assert np.all(trades.price > 0)
    assert np.all(trades.size > 0)
    assert np.bincount((trades.time_ms - trades.time_ms[0]) // 60_000).max() <= MAX_PER_MINUTE


def test_busy_products_fill_every_bucket_and_thin_ones_leave_whole_hours_empty() -> None:
    days_ms = 10 * 24 * HOUR_MS
    busy = MARKET.trades("BTC-USD", START_MS - days_ms, START_MS)
    thin = MARKET.trades("FARM-USD", START_MS - days_ms, START_MS)
    assert len(candles_of(busy, 300)) == 10 * 288
    assert len(candles_of(thin, 300)) < 10 * 288 / 2
    assert len(candles_of(thin, 3_600)) < 10 * 24


def test_one_product_is_new_one_delisted_and_some_are_kept_back() -> None:
    products = MARKET.products
    assert START_MS - 60 * 300_000 < products["ZETA-USD"].listed_ms < START_MS
    assert products["REN-USD"].delisted_ms < START_MS
    assert products["TIA-USD"].listed_ms == NEVER_MS
    assert products["BTC-USD"].aliases == ("BTC-USDC",)
    assert products["USDT-USDC"].aliases == ()


@pytest.mark.parametrize("count", [1, 25, 700, 3_000])
def test_as_many_products_are_online_as_requested(count: int) -> None:
    market = SeededMarket(1, start_s=START_S, products=count)
    online = [p for p in market.products.values() if p.listed_ms <= START_MS < p.delisted_ms]
    assert len(online) == count
    assert len(market.trades(online[-1].name, START_MS - 48 * HOUR_MS, START_MS)) > 0


@pytest.mark.parametrize("count", [0, -1, 3_001])
def test_an_impossible_number_of_products_is_refused(count: int) -> None:
    with pytest.raises(InvalidInput, match="between 1 and 3000"):
        SeededMarket(products=count)


FIRST_MINUTE = [
    (1614816001176, 4230926, 44517000, 80740883, False),
    (1614816026510, 4231987, 49694407, 80740884, True),
    (1614816040260, 4232925, 1347120, 80740885, True),
    (1614816047978, 4232561, 40273696, 80740886, True),
]

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.indicators.macdv import macdv_of, macdv_of_batch
from app.indicators.readiness import Readiness, readiness_of_batch
from app.indicators.window import MIN_CANDLES
from app.market.records import RECORD, Records
from app.market.timeframes import Timeframe
from tests.recorded import recorded, records_of
from tests.walks import walk

M5 = Timeframe.M5
FLAT = "flat price: the average true range is zero or nearly zero"


def readiness(records: Records, timeframe: Timeframe = M5) -> Readiness:
    columns, values, _ = macdv_of_batch([records])
    return readiness_of_batch([records], columns, values, [timeframe])[0]


def error_of_window(records: Records, bars: int) -> tuple[float, float | None]:
    """Error of the value on the last `bars` against the one on everything, and its own estimate."""
    window = records[-bars:]
    return abs(macdv_of(window).macdv[-1] - macdv_of(records).macdv[-1]), readiness(window).error


def test_a_value_shows_its_basis() -> None:
    ready = readiness(walk(1, 200, empty=0.15))
    assert (ready.bars, ready.ready, ready.reason) == (200, True, None)
    assert 26 < ready.traded < 200
    assert ready.error is not None
    assert 0 < ready.error < 10


@pytest.mark.parametrize("bars", [0, 1, 17, MIN_CANDLES - 1])
def test_too_few_candles(bars: int) -> None:
    few = readiness(walk(1, bars))
    assert (few.ready, few.reason, few.error) == (False, f"too few candles: {bars} of 60", None)


def test_enough_candles() -> None:
    assert readiness(walk(1, MIN_CANDLES)).ready


def test_too_little_trading() -> None:
    data = recorded("sparse")
    sparse = readiness(records_of(data["input"]))
    assert (sparse.bars, sparse.traded) == (120, 18)
    assert (sparse.ready, sparse.reason, sparse.error) == (
        False,
        "too little trading: 18 of 26 bars with trades",
        None,
    )


def test_26_bars_with_trades_are_enough() -> None:
    records = walk(1, 100)
    records["flags"][26:] |= 4
    for price in ("open", "high", "low", "close"):
        records[price][26:] = records["close"][25]
    barely = readiness(records)
    assert (barely.ready, barely.traded) == (True, 26)
    assert barely.error is not None
    assert np.isfinite(barely.error)
    records["flags"][25] |= 4
    assert readiness(records).reason == "too little trading: 25 of 26 bars with trades"


def test_flat_price() -> None:
    records = walk(1, 80)
    for price in ("open", "high", "low", "close"):
        records[price] = 100.0
    flat = readiness(records)
    assert (flat.ready, flat.reason) == (False, FLAT)


def test_a_price_that_has_been_flat_for_so_long_that_only_rounding_is_left() -> None:
    records = walk(3, 500)
    for price in ("open", "high", "low", "close"):
        records[price] *= 600.0001
        records[price][5:] = 60_000.01
    assert readiness(records[:60]).ready
    faded = readiness(records)
    assert (faded.ready, faded.reason, faded.error) == (False, FLAT, None)


def test_a_gap_makes_a_value_untrustworthy() -> None:
    broken = readiness(np.delete(walk(1, 100), [40, 41, 60]))
    assert not broken.ready
    assert broken.reason == "not contiguous: buckets are missing in 2 places"


def test_contiguous_depends_on_the_timeframe() -> None:
    records = walk(1, 100)
    assert (readiness(records, Timeframe.M15).reason or "").startswith("not contiguous")


@pytest.mark.parametrize(("bars", "greatest"), [(60, 34.4), (100, 4.63), (200, 0.137), (300, 0.00232)])
def test_the_estimate_covers_the_known_error_of_a_window_and_is_not_absurd(bars: int, greatest: float) -> None:
    records = records_of(recorded("all_observed")["input"])
    full = macdv_of(records).macdv
    estimates = []
    for end in range(300, len(records) + 1):
        window = records[end - bars : end]
        estimate = readiness(window).error
        assert estimate is not None
        assert abs(macdv_of(window).macdv[-1] - full[end - 1]) <= estimate
        estimates.append(estimate)
    assert greatest <= max(estimates) <= 20 * greatest


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([60, 80, 120, 200, 300]),
    st.sampled_from([0.0, 0.15, 0.4]),
    st.sampled_from([1e-5, 0.002, 0.02]),
    st.sampled_from([0.0, 2e-4]),
)
def test_the_estimate_holds_on_random_walks(
    seed: int, bars: int, empty: float, volatility: float, drift: float
) -> None:
    records = walk(seed, 700, empty=empty, volatility=volatility, drift=drift * volatility / 0.002)
    error, estimate = error_of_window(records, bars)
    assume(estimate is not None)  # otherwise there was too little trading in the window
    assert estimate is not None
    assert error <= estimate + 1e-9  # below that it is rounding


def test_the_estimate_fades_with_every_bar() -> None:
    records = walk(5, 500)
    estimates = [error_of_window(records, bars)[1] or np.nan for bars in (60, 100, 150, 200, 300, 400)]
    assert estimates == sorted(estimates, reverse=True)
    assert estimates[0] > 1e4 * estimates[-1]


def test_no_candles_are_not_ready() -> None:
    assert readiness(np.zeros(0, RECORD)).bars == 0

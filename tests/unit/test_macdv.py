from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.indicators import macdv as module
from app.indicators.macdv import Columns, MacdvSeries, macdv, macdv_of, macdv_of_many
from app.market.records import RECORD, Records, has_trades
from tests.macdv_reference import reference_macdv
from tests.recorded import recorded, records_of
from tests.walks import walk, walks

NAMES = ("fast_ema", "slow_ema", "atr", "macdv", "signal", "histogram")
THEIR_NAMES = ("fastEMA", "slowEMA", "atr", "macdV", "signal", "histogram")
FILES = ("all_observed", "some_empty", "sparse", "flat")
FIRST_BARS = (0, 1, 25, 26, 27, 33, 34, 35, 60)


def plain(records: Records) -> dict[str, list[float | None]]:
    """The independent implementation's values of `records`."""
    high, low, close = (records[price].tolist() for price in ("high", "low", "close"))
    return reference_macdv(high, low, close, has_trades(records).tolist())


def column(values: list[float | None]) -> Any:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def assert_same_bits(ours: MacdvSeries, theirs: MacdvSeries, bars: int) -> None:
    for name in (*NAMES, "stages", "start_s"):
        assert getattr(ours, name)[:bars].tobytes() == getattr(theirs, name)[:bars].tobytes(), name


@pytest.mark.parametrize("file", FILES)
def test_values_are_those_of_the_reference(file: str) -> None:
    data = recorded(file)
    values = macdv_of(records_of(data["input"]))
    for name, theirs in zip(NAMES, THEIR_NAMES, strict=True):
        np.testing.assert_allclose(getattr(values, name), column(data["output"][theirs]), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("bars", FIRST_BARS)
def test_values_of_the_first_bars_are_those_of_the_reference(bars: int) -> None:
    data = recorded("all_observed")
    values = macdv_of(records_of(data["input"][:bars]))
    for name, theirs in zip(NAMES, THEIR_NAMES, strict=True):
        expected = column(data["output"][theirs][:bars])
        np.testing.assert_allclose(getattr(values, name), expected, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("file", FILES)
def test_the_independent_implementation_agrees_with_the_reference(file: str) -> None:
    data = recorded(file)
    values = plain(records_of(data["input"]))
    for name, theirs in zip(NAMES, THEIR_NAMES, strict=True):
        np.testing.assert_allclose(column(values[name]), column(data["output"][theirs]), rtol=1e-9, err_msg=name)


@settings(deadline=None, max_examples=60)
@given(walks())
def test_values_are_those_of_an_independent_implementation(records: Records) -> None:
    ours, theirs = macdv_of(records), plain(records)
    least_atr = ours.atr[ours.atr > 0].min(initial=np.inf)
    for name in NAMES:
        mine, other = getattr(ours, name), column(theirs[name])
        assert (np.isnan(mine) == np.isnan(other)).all(), name
        # Rounding of the two averages, in points: their difference loses digits if it is small against the price.
        rounding = 0 if name in NAMES[:3] else 1e-14 * 100 * records["close"].max(initial=1) / least_atr
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=rounding, err_msg=name)


def test_a_long_history_is_as_exact_as_a_short_one() -> None:
    records = walk(7, 3 * module.STRETCH + 100, empty=0.3)
    ours, theirs = macdv_of(records), plain(records)
    for name in NAMES:
        np.testing.assert_allclose(getattr(ours, name), column(theirs[name]), rtol=1e-9, atol=1e-8, err_msg=name)


def test_a_seed_may_take_longer_than_one_stretch() -> None:
    records = walk(8, 2 * module.STRETCH, empty=0.985)
    assert has_trades(records)[: module.STRETCH].sum() < 26 < has_trades(records).sum()
    ours, theirs = macdv_of(records), plain(records)
    for name in NAMES:
        np.testing.assert_allclose(getattr(ours, name), column(theirs[name]), rtol=1e-9, atol=1e-8, err_msg=name)


@settings(deadline=None, max_examples=40)
@given(st.lists(walks(), max_size=6))
@example([walk(1, 80), walk(2, 0), walk(3, 80, empty=0.5), walk(4, 30)])
def test_a_batch_gives_the_same_bits_as_one_by_one(batch: list[Records]) -> None:
    together = macdv_of_many(batch)
    assert len(together) == len(batch)
    for records, values in zip(batch, together, strict=True):
        assert_same_bits(values, macdv_of(records), len(records))


def test_a_batch_of_several_blocks_gives_the_same_bits_as_one_by_one() -> None:
    batch = [walk(seed, 30 + seed % 17, empty=0.1 * (seed % 3)) for seed in range(module.BLOCK + 5)]
    for records, values in zip(batch, macdv_of_many(batch), strict=True):
        assert_same_bits(values, macdv_of(records), len(records))


@settings(deadline=None, max_examples=40)
@given(walks(), st.data())
def test_known_values_never_change_when_bars_are_added(records: Records, data: st.DataObject) -> None:
    bars = data.draw(st.integers(0, len(records)))
    assert_same_bits(macdv_of(records[:bars]), macdv_of(records), bars)


def test_a_long_history_does_not_change_when_bars_are_added() -> None:
    records = walk(9, 2 * module.STRETCH + 50, empty=0.2)
    for bars in (module.STRETCH - 1, module.STRETCH, module.STRETCH + 1):
        assert_same_bits(macdv_of(records[:bars]), macdv_of(records), bars)


def test_first_values_come_with_their_bars() -> None:
    values = macdv_of(walk(1, 60))
    first = {name: int(np.isfinite(getattr(values, name)).argmax()) for name in NAMES}
    assert first == {"fast_ema": 11, "slow_ema": 25, "atr": 25, "macdv": 25, "signal": 33, "histogram": 33}


def test_bars_without_trades_carry_atr_whatever_their_prices_are() -> None:
    records = walk(2, 100, empty=0.4)
    stale = records.copy()
    stale["high"][~has_trades(records)] *= 1.5
    assert macdv_of(stale).atr.tobytes() == macdv_of(records).atr.tobytes()
    carried = np.flatnonzero(~has_trades(records) & np.isfinite(macdv_of(records).atr))[1:]
    atr = macdv_of(records).atr
    np.testing.assert_allclose(atr[carried], atr[carried - 1], rtol=1e-15)


def test_a_flat_price_has_no_macdv_until_it_moves() -> None:
    records = walk(3, 120)
    for price in ("open", "high", "low", "close"):
        records[price][:60] = 100.0
    values = macdv_of(records)
    assert np.isnan(values.macdv[:60]).all()
    assert np.isfinite(values.macdv[60:]).all()
    assert np.isnan(values.signal[:68]).all()
    assert np.isfinite(values.signal[68:]).all()
    np.testing.assert_allclose(values.signal[68], values.macdv[60:69].mean(), rtol=1e-12)


def flat_since(bar: int, price: float) -> Records:
    """500 bars with trades, all at one price from `bar` on."""
    records = walk(8, 500)
    for name in ("open", "high", "low", "close"):
        records[name] *= price / 100
        records[name][bar:] = price
    return records


def jitter(price: float, size: float) -> Records:
    """Every other close is a little higher than the others."""
    records = flat_since(0, price)
    for name in ("open", "high", "low", "close"):
        records[name][::2] += size
    return records


def exact(records: Records) -> tuple[list[Fraction | None], list[Fraction | None]]:
    """MACD-V wherever ATR is not zero, and ATR as a part of the close: without any rounding."""
    high, low, close = ([Fraction(x) for x in records[name].tolist()] for name in ("high", "low", "close"))

    def average(values: list[Fraction], n: int, alpha: Fraction) -> list[Fraction | None]:
        out: list[Fraction | None] = [None] * (n - 1)
        out.append(sum(values[:n], Fraction()) / n)
        for value in values[n:]:
            last = out[-1]
            assert last is not None
            out.append(last + alpha * (value - last))
        return out

    before = [high[0], *close[:-1]]
    ranges = [max(h, b) - min(lo, b) for h, lo, b in zip(high, low, before, strict=True)]
    fast, slow = (average(close, n, Fraction(2, n + 1)) for n in (12, 26))
    atr = average(ranges, 26, Fraction(1, 26))
    rows = list(zip(fast, slow, atr, close, strict=True))
    return (
        [100 * (f - s) / a if f is not None and s is not None and a else None for f, s, a, _ in rows],
        [None if a is None else a / c for _, _, a, c in rows],
    )


@pytest.mark.parametrize(
    "records",
    [flat_since(30, 10.1), flat_since(27, 33.33), flat_since(5, 60_000.01), jitter(1e9, 1e-6), flat_since(0, 0.1)],
)
def test_a_rounding_residue_of_a_faded_range_gives_no_value(records: Records) -> None:
    values = macdv_of(records)
    for bar, (value, part) in enumerate(zip(*exact(records), strict=True)):
        ours = float(values.macdv[bar])
        if part is None or part < 0.999e-10:
            assert np.isnan(ours)
            assert np.isnan(values.signal[bar])
        elif part > 1.001e-10:
            assert value is not None
            assert abs(ours - float(value)) < 1e-3


def test_a_nan_price_makes_values_unknown_in_its_series_only() -> None:
    broken, whole = walk(4, 90), walk(5, 90)
    broken["close"][50] = np.nan
    values, untouched = macdv_of_many([broken, whole])
    assert np.isnan(values.macdv[50:]).all()
    assert np.isnan(values.signal[50:]).all()
    assert_same_bits(values, macdv_of(broken[:50]), 50)
    assert_same_bits(untouched, macdv_of(whole), 90)


def test_huge_and_tiny_prices_cause_no_warning() -> None:
    for price in (1e-300, 1e300):
        records = walk(6, 70)
        for name in ("open", "high", "low", "close"):
            records[name] *= price / 100
        assert len(macdv_of(records).macdv) == 70


def test_points_are_none_if_a_value_does_not_exist() -> None:
    values = macdv_of(walk(1, 40))
    early, middle, latest = values.point(5), values.point(30), values.point(-1)
    assert early == (None, None, None, None)
    assert middle.macdv == values.macdv[30]
    assert (middle.signal, middle.histogram, middle.stage) == (None, None, None)
    assert latest == values.point(39)
    assert latest.histogram == latest.macdv - latest.signal  # type: ignore[operator]
    assert latest.stage is not None


def test_no_candles_give_no_values() -> None:
    assert macdv_of_many([]) == []
    assert len(macdv_of(np.zeros(0, RECORD)).macdv) == 0
    none = np.zeros((0, 0))
    assert macdv(Columns.from_prices(none, none, none, none > 0)).macdv.shape == (0, 0)

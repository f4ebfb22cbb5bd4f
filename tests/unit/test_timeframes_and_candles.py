import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.errors import InvalidInput
from app.market.records import to_records
from app.market.timeframes import Timeframe
from tests.build import B0, STEP, candle


@given(st.sampled_from(Timeframe), st.integers(0, 2**32 - 1))
def test_a_time_lies_in_its_bucket(timeframe: Timeframe, time_s: int) -> None:
    start = timeframe.bucket(time_s)
    assert timeframe.is_aligned(start)
    assert start <= time_s < start + timeframe.seconds
    assert timeframe.last_over(time_s) + timeframe.seconds == start


def test_names() -> None:
    assert Timeframe.parse("4h").seconds == 14_400
    with pytest.raises(InvalidInput, match=r"unknown timeframe '7m': use one of 1m, 5m"):
        Timeframe.parse("7m")


def test_which_timeframe_contains_which() -> None:
    assert Timeframe.D1.contains(Timeframe.M5)
    assert not Timeframe.M5.contains(Timeframe.M5)
    assert not Timeframe.M1.contains(Timeframe.M5)
    assert not Timeframe.H6.contains(Timeframe.H4)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"close": float("nan")}, "finite"),
        ({"volume": float("inf")}, "finite"),
        ({"low": 0.0}, "greater than 0"),
        ({"volume": -1.0}, "negative"),
        ({"high": 9.5, "low": 9.0}, "between low and high"),
        ({"start_s": B0 + 1}, "not the start of a 5m bucket"),
        ({"start_s": 2**32 * 300}, "less than"),
        ({"trades": False}, "one price and no volume"),
        ({"timeframe": "7m"}, "Input should be"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_an_impossible_candle_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        candle(**changes)


def test_records_hold_all_of_a_candle() -> None:
    candles = [candle(), candle(B0 + STEP, observed_ms=2**52, close=10.25)]
    for record, c in zip(to_records(candles), candles, strict=True):
        assert record.item() == (c.start_s, c.state, c.observed_ms, c.open, c.high, c.low, c.close, c.volume)

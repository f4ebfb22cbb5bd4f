"""The indicator worker on a real Redis: a change updates all values that depend on it, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import redis

from app.compute.computer import Computer
from app.context import Context
from app.market.candles import CandleState
from app.market.records import EMPTY, PROVISIONAL, Records, has_trades
from app.market.series import Series
from app.market.timeframes import BASE, Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.model import Origin, Write
from tests.build import empty, records, run, series

pytestmark = pytest.mark.integration

DAY_S = 1_700_006_400
"""Start of a day, UTC."""
COUNT = 400
NOW_S = DAY_S + COUNT * 300
TIMEFRAMES = Settings().timeframes


@pytest.fixture
def context(redis_client: redis.Redis) -> Context:
    return Context(Settings(), redis_client)


def write(context: Context, product: str, *parts: Records) -> None:
    context.candles.write([Write(series(product), np.concatenate(parts), Origin.given(DAY_S))])


def update(context: Context, product: str, first: int, last: int, now_s: float = NOW_S) -> int:
    changed = ChangedRange(product, BASE, DAY_S + first * 300, DAY_S + last * 300)
    computer = Computer(context.candles, context.indicators, context.exchange, TIMEFRAMES)
    return computer.update([changed], now_s)


def revisions(context: Context, product: str) -> dict[Timeframe, int]:
    many = [series(product, t) for t in TIMEFRAMES]
    return dict(zip(TIMEFRAMES, context.indicators.read_revisions(many), strict=True))


def held(context: Context, of: Series) -> Records:
    return context.candles.read(of, 0, of.timeframe.bucket(NOW_S)).over


def test_the_longer_candles_that_are_complete_are_built_and_computed(context: Context) -> None:
    write(context, "A-USD", run(DAY_S, COUNT))
    assert update(context, "A-USD", 0, COUNT - 1) == len(TIMEFRAMES)
    counts = {t: len(held(context, series("A-USD", t))) for t in TIMEFRAMES}
    assert counts == {t: COUNT * 300 // t.seconds for t in TIMEFRAMES}
    m5, m15 = context.indicators.read_many([series("A-USD"), series("A-USD", Timeframe.M15)])
    assert m5 is not None
    assert m5.data["ready"]
    assert m5.data["candles"] == COUNT
    assert m15 is not None
    assert m15.data["candles"] == COUNT // 3


def test_the_same_work_again_changes_nothing(context: Context) -> None:
    write(context, "A-USD", run(DAY_S, COUNT))
    update(context, "A-USD", 0, COUNT - 1)
    before = revisions(context, "A-USD")
    events = context.redis.xlen("cw:2:events")
    assert update(context, "A-USD", 0, COUNT - 1) == 0
    assert revisions(context, "A-USD") == before
    assert context.redis.xlen("cw:2:events") == events


def test_empty_children_do_not_empty_a_longer_candle_with_trades(context: Context) -> None:
    """A response may have left out a row of 5m, but not the one of the hour."""
    hour = series("A-USD", Timeframe.H1)
    context.candles.write([Write(hour, records((DAY_S, CandleState.CONFIRMED, 10.5)))])
    write(context, "A-USD", *(empty(DAY_S + i * 300, 10.0, observed_ms=9) for i in range(24)))
    update(context, "A-USD", 0, 23)
    first, second = held(context, hour)
    assert (first["volume"], first["close"]) == (1, 10.5)
    assert first["flags"] & PROVISIONAL, "REST decides"
    assert second["flags"] & EMPTY
    assert not second["flags"] & PROVISIONAL


def newest(context: Context) -> dict[Timeframe, int]:
    """The bar of each latest value of A-USD."""
    many = context.indicators.read_many([series("A-USD", t) for t in TIMEFRAMES])
    return {value.series.timeframe: value.start_s for value in many if value}


def test_a_worker_that_stalled_while_candles_closed_reads_again(context: Context) -> None:
    write(context, "A-USD", run(DAY_S, COUNT + 48))
    later_s = NOW_S + 48 * 300
    context.clock.set(later_s * 1000)
    update(context, "A-USD", 0, COUNT + 47, now_s=later_s)
    before = revisions(context, "A-USD")
    write(context, "A-USD", records((DAY_S + 10 * 300, CandleState.CONFIRMED, 99.0, 7)))
    assert update(context, "A-USD", 10, 10, now_s=NOW_S) == len(TIMEFRAMES)
    assert revisions(context, "A-USD") == {t: revision + 1 for t, revision in before.items()}
    assert newest(context) == {t: t.last_over(later_s) for t in TIMEFRAMES}, "and not the bars that it knew of"


def test_of_the_same_candles_the_value_that_rests_on_more_of_them_stays(context: Context) -> None:
    write(context, "A-USD", run(DAY_S, COUNT + 48))
    later_s = NOW_S + 48 * 300
    assert update(context, "A-USD", COUNT - 1, COUNT - 1, now_s=NOW_S)
    assert newest(context)[BASE] < BASE.last_over(later_s)
    assert update(context, "A-USD", COUNT, COUNT + 47, now_s=later_s)
    assert newest(context)[BASE] == BASE.last_over(later_s)
    assert update(context, "A-USD", COUNT - 1, COUNT - 1, now_s=NOW_S) == 0
    assert newest(context)[BASE] == BASE.last_over(later_s)


def test_a_correction_reaches_its_longer_candles_and_no_other_product(context: Context) -> None:
    for product in ("A-USD", "B-USD"):
        write(context, product, run(DAY_S, COUNT))
        update(context, product, 0, COUNT - 1)
    before = {p: revisions(context, p) for p in ("A-USD", "B-USD")}
    write(context, "A-USD", records((DAY_S + 10 * 300, CandleState.CONFIRMED, 99.0, 7)))
    assert update(context, "A-USD", 10, 10) == len(TIMEFRAMES)
    after = {p: revisions(context, p) for p in ("A-USD", "B-USD")}
    assert after["B-USD"] == before["B-USD"]
    assert all(after["A-USD"][t] == before["A-USD"][t] + 1 for t in TIMEFRAMES)
    for timeframe in TIMEFRAMES:
        bucket = timeframe.bucket(DAY_S + 10 * 300)
        (candle,) = context.candles.read(series("A-USD", timeframe), bucket, bucket).records
        assert candle["high"] == 99.0


def test_empty_buckets_carry_a_corrected_close_and_their_longer_candles_too(context: Context) -> None:
    hour = [empty(DAY_S + (60 + i) * 300, 13.0) for i in range(12)]
    write(context, "A-USD", run(DAY_S, 60), *hour, run(DAY_S + 72 * 300, COUNT - 72))
    update(context, "A-USD", 0, COUNT - 1)
    write(context, "A-USD", records((DAY_S + 59 * 300, CandleState.CONFIRMED, 15.5, 9)))
    update(context, "A-USD", 59, 59)
    quiet = context.candles.read(series("A-USD"), DAY_S + 60 * 300, DAY_S + 71 * 300).records
    assert quiet["close"].tolist() == [15.5] * 12
    bucket = DAY_S + 60 * 300
    (hourly,) = context.candles.read(series("A-USD", Timeframe.H1), bucket, bucket).records
    assert not has_trades(hourly.reshape(1))[0]
    assert hourly["close"] == 15.5


def test_a_value_rests_on_the_candles_behind_the_newest_gap(context: Context) -> None:
    write(context, "A-USD", run(DAY_S, COUNT - 80), run(DAY_S + (COUNT - 70) * 300, 70))
    update(context, "A-USD", COUNT - 1, COUNT - 1)
    (value,) = context.indicators.read_many([series("A-USD")])
    assert value is not None
    assert value.data["candles"] == 70
    assert value.data["ready"]


def test_fewer_than_sixty_candles_give_a_reason_and_no_number(context: Context) -> None:
    write(context, "A-USD", run(DAY_S + (COUNT - 59) * 300, 59))
    update(context, "A-USD", COUNT - 1, COUNT - 1)
    (value,) = context.indicators.read_many([series("A-USD")])
    assert value is not None
    assert not value.data["ready"]
    assert "59 of 60" in value.data["reason"]
    assert "macdv" not in value.data


def test_nothing_is_computed_of_an_unwanted_timeframe(context: Context) -> None:
    minutes = series("A-USD", Timeframe.M1)
    context.candles.write([Write(minutes, run(DAY_S, COUNT, step=60), Origin.given(DAY_S))])
    changed = ChangedRange("A-USD", Timeframe.M1, DAY_S, DAY_S + (COUNT - 1) * 60)
    now_s, parts = DAY_S + COUNT * 60, (context.candles, context.indicators, context.exchange)
    assert Computer(*parts, TIMEFRAMES).update([changed], now_s) == 0
    assert context.indicators.read_many([minutes]) == [None]
    assert Computer(*parts, (Timeframe.M1, *TIMEFRAMES)).update([changed], now_s) == 1, "it is there to be computed"


def test_the_last_child_of_a_longer_candle_may_come_a_little_before_the_clock(context: Context) -> None:
    """The clock is published after the candles, and the worker may be faster."""
    write(context, "A-USD", run(DAY_S, 12))
    update(context, "A-USD", 11, 11, now_s=DAY_S + 12 * 300 - 140)
    assert len(held(context, series("A-USD", Timeframe.H1))) == 1


def test_a_late_change_far_behind_the_window_reaches_its_longer_candle(context: Context) -> None:
    write(context, "A-USD", run(DAY_S, 980))
    write(context, "A-USD", records((DAY_S + 55 * 300, CandleState.CONFIRMED, 99.0, 7)))
    update(context, "A-USD", 55, 55, now_s=DAY_S + 980 * 300)
    (hourly,) = context.candles.read(series("A-USD", Timeframe.H1), DAY_S + 48 * 300, DAY_S + 48 * 300).records
    assert hourly["high"] == 99.0


def test_an_empty_bucket_with_a_wrong_close_receives_that_of_the_candle_before_it(context: Context) -> None:
    write(context, "A-USD", run(DAY_S, 60), empty(DAY_S + 60 * 300, 99.0))
    update(context, "A-USD", 60, 60)
    (quiet,) = context.candles.read(series("A-USD"), DAY_S + 60 * 300, DAY_S + 60 * 300).records
    assert quiet["close"] == 10.0 + 59 % 7

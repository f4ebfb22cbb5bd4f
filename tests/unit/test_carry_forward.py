import numpy as np

from app.market.candles import CandleState
from app.market.carry_forward import carried_forward, contiguous_tail, since, updated_empty_candles
from app.market.timeframes import Timeframe
from tests.build import B0, STEP, empty, records, run

M5 = Timeframe.M5


def test_the_tail_begins_behind_the_newest_gap() -> None:
    both = np.concatenate([run(B0, 3), run(B0 + 5 * STEP, 4)])
    assert contiguous_tail(both, M5)["start_s"].tolist() == run(B0 + 5 * STEP, 4)["start_s"].tolist()


def test_without_a_gap_everything_is_the_tail() -> None:
    assert len(contiguous_tail(run(B0, 5), M5)) == 5
    assert len(contiguous_tail(run(B0, 0), M5)) == 0


def test_empty_buckets_take_over_a_corrected_close() -> None:
    before = np.concatenate(
        [records((B0, CandleState.CONFIRMED, 10.5, 70)), empty(B0 + STEP, 10), empty(B0 + 2 * STEP, 10)]
    )
    renewed = updated_empty_candles(before, M5)
    assert renewed["close"].tolist() == [10.5, 10.5]
    assert renewed["open"].tolist() == renewed["high"].tolist() == renewed["low"].tolist() == [10.5, 10.5]
    assert renewed["observed_ms"].tolist() == [70, 70], "as late as the candle that they carry, so that they are taken"


def test_carrying_stops_at_a_trade_and_at_a_gap() -> None:
    chain = np.concatenate(
        [
            records((B0, CandleState.CLOSED, 10.5)),
            records((B0 + STEP, CandleState.CLOSED, 10.0)),
            empty(B0 + 2 * STEP, 10.0),
            empty(B0 + 4 * STEP, 7.0),
        ]
    )
    assert len(updated_empty_candles(chain, M5)) == 0


def test_empty_buckets_carry_marks_up_to_the_next_trade() -> None:
    held = np.concatenate([run(B0, 1), *(empty(B0 + i * STEP, 10.0) for i in (1, 2)), run(B0 + 3 * STEP, 1)])
    behind = np.concatenate([held, *(empty(B0 + i * STEP, 10.0) for i in (4, 5))])
    for marked, carry in (([0], [0, 1, 2]), ([2], [2]), ([1], [1, 2]), ([3], [3, 4, 5]), ([], [])):
        assert np.flatnonzero(carried_forward(behind, np.isin(np.arange(6), marked))).tolist() == carry
    assert len(carried_forward(held[:0], np.zeros(0, dtype=bool))) == 0


def test_carried_twice_is_carried_once() -> None:
    before = np.concatenate([records((B0, CandleState.CONFIRMED, 10.5)), empty(B0 + STEP, 10)])
    after = np.concatenate([before[:1], updated_empty_candles(before, M5)])
    assert len(updated_empty_candles(after, M5)) == 0


def test_a_carried_close_is_newer_than_the_empty_candle_that_it_replaces() -> None:
    before = np.concatenate([records((B0, CandleState.CONFIRMED, 10.5, 70)), empty(B0 + STEP, 10, observed_ms=100)])
    assert updated_empty_candles(before, M5)["observed_ms"].tolist() == [101], "or the cache would keep the old one"


def test_the_tail_begins_behind_the_newest_of_several_gaps() -> None:
    three = np.concatenate([run(B0, 3), run(B0 + 5 * STEP, 4), run(B0 + 11 * STEP, 2)])
    assert contiguous_tail(three, M5)["start_s"].tolist() == [B0 + 11 * STEP, B0 + 12 * STEP]


def test_since_a_bucket_begins_with_it_and_before_all_time_with_the_first() -> None:
    assert since(run(B0, 5), B0 + 2 * STEP)["start_s"].tolist() == [B0 + n * STEP for n in (2, 3, 4)]
    assert len(since(run(B0, 5), -STEP)) == 5

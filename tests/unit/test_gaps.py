from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.candles import CandleState
from app.market.gaps import fill_empty, merge, missing
from app.market.records import EMPTY, Records, has_trades, state_of
from tests.build import B0, STEP, records, run

STATES = st.sampled_from([CandleState.FORMING, CandleState.CLOSED, CandleState.CONFIRMED])
BUCKETS = st.integers(0, 60)


def at(*buckets: int) -> list[int]:
    """Starts of the buckets with these numbers."""
    return [B0 + bucket * STEP for bucket in buckets]


def test_a_bucket_without_a_closed_record_is_missing() -> None:
    known = records((at(0)[0], CandleState.CLOSED), (at(2)[0], CandleState.FORMING), (at(3)[0], CandleState.CONFIRMED))
    assert missing(known, STEP, *at(0, 4)).tolist() == at(1, 2, 4)
    assert missing(known, STEP, *at(3, 3)).tolist() == []
    assert missing(known[:0], STEP, *at(0, 1)).tolist() == at(0, 1)


def test_nothing_is_missing_outside_the_range() -> None:
    assert missing(run(B0, 3), STEP, *at(0, 2)).tolist() == []
    assert missing(run(B0, 3), STEP, *at(5, 2)).tolist() == []
    assert missing(run(B0, 0), STEP, B0 + 1, B0 + 2 * STEP - 1).tolist() == at(1), "buckets that begin in the range"


@given(st.dictionaries(BUCKETS, STATES), BUCKETS, BUCKETS, st.randoms(use_true_random=False))
def test_missing_and_closed_share_the_range(
    states: dict[int, CandleState], first: int, last: int, random: Random
) -> None:
    rows = [(at(bucket)[0], state) for bucket, state in states.items()]
    random.shuffle(rows)
    lost = missing(records(*rows), STEP, *at(first, last)).tolist()
    closed = {bucket for bucket, state in states.items() if state >= CandleState.CLOSED}
    assert lost == at(*(bucket for bucket in range(first, last + 1) if bucket not in closed))


@pytest.mark.parametrize(
    ("buckets", "ranges"),
    [
        ([], []),
        ([4], [(4, 4)]),
        ([1, 2, 4, 5], [(1, 2), (4, 5)]),
        (list(range(351)), [(0, 350)]),
    ],
)
def test_adjacent_buckets_become_ranges(buckets: list[int], ranges: list[tuple[int, int]]) -> None:
    assert merge(np.array(at(*buckets)), STEP) == [tuple(at(*pair)) for pair in ranges]


@given(st.sets(BUCKETS))
def test_ranges_are_few_and_cover_exactly_the_missing_buckets(buckets: set[int]) -> None:
    ranges = merge(np.array(sorted(at(*buckets)), dtype=np.int64), STEP)
    covered = [start for first, last in ranges for start in range(first, last + 1, STEP)]
    assert covered == sorted(at(*buckets)), "all of them, once each, nothing else, oldest first"
    assert len(ranges) == sum(bucket - 1 not in buckets for bucket in buckets), "none is adjacent to another"


def filled(page: Records, last: int) -> Records:
    return fill_empty(page, at(last)[0], STEP, 99)


def test_a_bucket_left_out_by_rest_is_empty_and_carries_the_close_before() -> None:
    page = records((at(1)[0], CandleState.CLOSED, 10.5, 7), (at(3)[0], CandleState.CONFIRMED, 9.5, 8))
    every = filled(page, 5)
    assert every["start_s"].tolist() == at(1, 2, 3, 4, 5)
    assert every[[0, 2]].tobytes() == page.tobytes(), "as they are"
    empty = every[[1, 3, 4]]
    for price in ("open", "high", "low", "close"):
        assert empty[price].tolist() == [10.5, 9.5, 9.5]
    assert empty["volume"].tolist() == [0.0] * 3
    assert empty["flags"].tolist() == [CandleState.CONFIRMED | EMPTY] * 3
    assert empty["observed_ms"].tolist() == [99] * 3


def test_nothing_is_filled_beyond_the_last_bucket() -> None:
    assert filled(run(at(2)[0], 3), 3)["start_s"].tolist() == at(2, 3)
    assert len(filled(run(at(2)[0], 1), 1)) == 0


@given(st.dictionaries(BUCKETS, st.floats(0.01, 1e6), min_size=1), BUCKETS)
def test_every_bucket_from_the_first_trade_on_has_a_record(closes: dict[int, float], last: int) -> None:
    traded = dict(sorted(closes.items()))
    page = records(*((at(bucket)[0], CandleState.CONFIRMED, close) for bucket, close in traded.items()))
    before = page.tobytes()
    every, close, expected = filled(page, last), 0.0, []
    for bucket in range(min(traded), last + 1):
        close = traded.get(bucket, close)
        expected.append((at(bucket)[0], close, bucket in traded))
    assert list(zip(every["start_s"], every["close"], has_trades(every), strict=True)) == expected
    assert (state_of(every) == CandleState.CONFIRMED).all()
    assert page.tobytes() == before

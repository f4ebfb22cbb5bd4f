from functools import reduce
from math import fsum
from operator import add
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.market import aggregate as room
from app.market.aggregate import parents_of
from app.market.candles import CandleState
from app.market.records import CORRECTED, EMPTY, PROVISIONAL, RECORD, SILENT, Records, has_trades, over, state_of
from app.market.timeframes import Timeframe
from tests.recorded import recorded, records_of
from tests.walks import walk

M5, M15, H1, D1 = Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.D1
PRICES = ("open", "high", "low", "close")
FIRST = 1_700_006_400  # the start of an hour
HOUR = walk(1, 12)


def aggregate(
    records: Records, source: Timeframe, target: Timeframe, parents: npt.NDArray[np.int64] | None = None
) -> Records:
    """The candles of `parents`; of every bucket of which a child is there if none are named."""
    starts = records["start_s"].astype(np.int64)
    every = np.unique(starts // target.seconds * target.seconds)
    return room.aggregate(records, source, target, every if parents is None else parents)


@st.composite
def histories(draw: st.DrawFn) -> Records:
    """Some hours of 5m candles; some are empty, forming, only closed, or missing."""
    records = walk(
        draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 72)), empty=draw(st.sampled_from([0, 0.3, 0.9]))
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.02, 0.2]))
    records["observed_ms"] = random.integers(1, 10**12, len(records))
    for state in (CandleState.CLOSED, CandleState.FORMING):
        chosen = random.random(len(records)) < share
        records["flags"][chosen] = records["flags"][chosen] & EMPTY | state
    return records[random.random(len(records)) >= share / 2]


def plain(records: Records, target: Timeframe) -> list[tuple[float, ...]]:
    """Aggregates, candle by candle, straight from the rules."""
    known = {int(r["start_s"]): r for r in over(records)}
    candles: list[tuple[float, ...]] = []
    for start in sorted({s - s % target.seconds for s in known}):
        buckets = range(start, start + target.seconds, M5.seconds)
        if not known.keys() >= set(buckets):
            continue
        children = [known[bucket] for bucket in buckets]
        traded = [child for child in children if not child["flags"] & EMPTY]
        carried = children[-1]["close"]
        candles.append(
            (
                start,
                min(child["flags"] & 3 for child in children) | (0 if traded else EMPTY),
                max(child["observed_ms"] for child in children),
                traded[0]["open"] if traded else carried,
                max((child["high"] for child in traded), default=carried),
                min((child["low"] for child in traded), default=carried),
                traded[-1]["close"] if traded else carried,
                fsum(child["volume"] for child in traded),
            )
        )
    return candles


@pytest.mark.parametrize("timeframe", [Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1])
def test_candles_are_those_of_the_reference(timeframe: Timeframe) -> None:
    data = recorded("aggregation")
    built, theirs = aggregate(records_of(data["source5m"]), M5, timeframe), records_of(data["out"][timeframe])
    for name in ("start_s", *PRICES):
        assert built[name].tolist() == theirs[name].tolist(), name
    np.testing.assert_allclose(built["volume"], theirs["volume"], rtol=1e-9)


@settings(deadline=None)
@given(histories(), st.sampled_from([M15, H1]))
def test_candles_are_those_of_the_plain_rules(records: Records, target: Timeframe) -> None:
    assert aggregate(records, M5, target).tolist() == plain(records, target)


@settings(deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_children_does_not_matter(records: Records, random: Random) -> None:
    order = list(range(len(records)))
    random.shuffle(order)
    assert aggregate(records[order], M5, H1).tobytes() == aggregate(records, M5, H1).tobytes()


@settings(deadline=None)
@given(histories())
def test_in_two_steps_is_as_in_one(records: Records) -> None:
    direct, by_steps = aggregate(records, M5, H1), aggregate(aggregate(records, M5, M15), M15, H1)
    for name in ("start_s", "flags", "observed_ms", *PRICES):
        assert by_steps[name].tolist() == direct[name].tolist(), name
    np.testing.assert_allclose(by_steps["volume"], direct["volume"], rtol=1e-12)


@settings(deadline=None)
@given(histories(), st.data())
def test_only_the_wanted_parents_are_built(records: Records, data: st.DataObject) -> None:
    everything = aggregate(records, M5, H1)
    wanted = data.draw(st.sets(st.sampled_from(everything["start_s"].tolist()))) if len(everything) else set()
    built = aggregate(records, M5, H1, np.array(sorted(wanted), dtype=np.int64))
    assert built.tolist() == everything[np.isin(everything["start_s"], sorted(wanted))].tolist()


@pytest.mark.parametrize("child", range(12))
def test_an_incomplete_bucket_is_never_aggregated(child: int) -> None:
    assert len(aggregate(HOUR, M5, H1)) == 1
    assert len(aggregate(np.delete(HOUR, child), M5, H1)) == 0
    forming = HOUR.copy()
    forming["flags"][child] = CandleState.FORMING
    assert len(aggregate(forming, M5, H1)) == 0
    unwritten = HOUR.copy()
    unwritten[child] = np.zeros(1, RECORD)[0]
    assert len(aggregate(unwritten, M5, H1)) == 0


def test_a_child_that_is_there_twice_does_not_replace_one_that_is_missing() -> None:
    doubled = HOUR.copy()
    doubled[3] = doubled[2]
    assert len(aggregate(doubled, M5, H1)) == 0
    shifted = HOUR.copy()
    shifted["start_s"][3] += 1
    assert len(aggregate(shifted, M5, H1)) == 0


def test_empty_children_give_no_price_and_no_volume() -> None:
    hour = HOUR.copy()
    for child, carried in ((0, 1.0), (5, 1e6), (11, 2e6)):  # whatever they carry
        hour["flags"][child] |= EMPTY
        for price in PRICES:
            hour[price][child] = carried
    (built,) = aggregate(hour, M5, H1)
    traded = HOUR[[1, 2, 3, 4, 6, 7, 8, 9, 10]]
    assert not built["flags"] & EMPTY
    assert (built["open"], built["close"]) == (traded["open"][0], traded["close"][-1])
    assert (built["high"], built["low"]) == (traded["high"].max(), traded["low"].min())
    assert built["volume"] == fsum(traded["volume"])


def test_empty_children_only_make_an_empty_candle() -> None:
    hour = HOUR.copy()
    hour["flags"] |= EMPTY
    hour["volume"] = 0
    for price in PRICES:
        hour[price] = 7.5
    (built,) = aggregate(hour, M5, H1)
    assert [built[price] for price in PRICES] == [7.5] * 4
    assert built["volume"] == 0
    assert not has_trades(aggregate(hour, M5, H1)).any()


def test_the_state_is_the_lowest_and_the_observation_the_latest() -> None:
    hour = HOUR.copy()
    hour["observed_ms"] = np.arange(12)
    hour["flags"][4] = CandleState.CLOSED
    built = aggregate(hour, M5, H1)
    assert state_of(built).tolist() == [CandleState.CLOSED]
    assert built["observed_ms"].tolist() == [11]


def test_the_volume_is_summed_exactly() -> None:
    hour = HOUR.copy()
    hour["volume"] = 0.1
    assert aggregate(hour, M5, H1)["volume"][0] == fsum([0.1] * 12) != reduce(add, [0.1] * 12)


def test_a_parent_is_provisional_and_no_more_than_closed_if_a_child_is_provisional() -> None:
    hour = HOUR.copy()
    hour["flags"] |= CORRECTED
    assert aggregate(hour, M5, H1)["flags"].tolist() == [CandleState.CONFIRMED]
    hour["flags"][5] |= PROVISIONAL
    assert aggregate(hour, M5, H1)["flags"].tolist() == [CandleState.CLOSED | PROVISIONAL]  # not confirmed by REST


def test_a_parent_of_silent_children_does_not_rest_on_silence_itself() -> None:
    quiet = HOUR.copy()
    quiet["flags"] |= EMPTY | SILENT
    assert aggregate(quiet, M5, H1)["flags"].tolist() == [CandleState.CONFIRMED | EMPTY]


def test_parents_are_utc_buckets_once_each() -> None:
    assert parents_of(FIRST, FIRST, H1).tolist() == [FIRST]
    assert parents_of(FIRST + 3300, FIRST + 3300, H1).tolist() == [FIRST]
    assert parents_of(FIRST + 300, FIRST + 3900, H1).tolist() == [FIRST, FIRST + 3600]
    assert parents_of(FIRST + 3300, FIRST + 7200, H1).tolist() == [FIRST, FIRST + 3600, FIRST + 7200]
    assert parents_of(FIRST, FIRST + 3900, D1).tolist() == [FIRST - FIRST % 86_400]


@pytest.mark.parametrize(("source", "target"), [(M5, M5), (H1, M5), (Timeframe.H4, Timeframe.H6)])
def test_a_timeframe_must_be_a_number_of_the_other(source: Timeframe, target: Timeframe) -> None:
    with pytest.raises(InvalidInput, match=f"{target} candles cannot be built from {source}"):
        aggregate(HOUR, source, target)


def test_no_candles_make_no_candles() -> None:
    built = aggregate(np.zeros(0, RECORD), M5, H1)
    assert (len(built), built.dtype) == (0, RECORD)

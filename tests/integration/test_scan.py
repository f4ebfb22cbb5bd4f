"""Results of a scan in a real Redis: everything missing or out of date, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import redis

from app.backfill.scan import Found, Scanner
from app.compute.computer import Computer
from app.context import Context
from app.market.candles import CandleState
from app.market.records import PROVISIONAL, Records
from app.market.timeframes import BASE, Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.model import Origin, Write
from app.storage.products import FollowedProduct
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.requests import Uncovered
from tests.build import B0, STEP, empty, run, series

pytestmark = pytest.mark.integration

M15 = Timeframe.M15
CAPACITY = 600
NEWEST = B0 + CAPACITY * STEP
EDGE = NEWEST - (CAPACITY - 3) * STEP
NOW_MS = (NEWEST + STEP) * 1000 + 70_000
GAP = BackfillRequest(Kind.GAP, "BTC-USD", BASE)


def context_of(client: redis.Redis, *timeframes: str) -> Context:
    context = Context(Settings(timeframes=timeframes, series_capacity=CAPACITY), client)
    context.products.follow([FollowedProduct("BTC-USD", "BTC-USD")])
    return context


@pytest.fixture
def context(redis_client: redis.Redis) -> Context:
    return context_of(redis_client, "5m")


def write(context: Context, rows: Records, timeframe: Timeframe = BASE, origin: Origin | None = None) -> None:
    context.candles.write([Write(series(timeframe=timeframe), rows, origin)], announce=False)


def compute(context: Context) -> None:
    computer = Computer(context.candles, context.indicators, "coinbase", context.settings.timeframes)
    computer.update([ChangedRange("BTC-USD", BASE, NEWEST, NEWEST)], NOW_MS / 1000)


def scan(context: Context, exchange_ms: int = NOW_MS) -> list[Found]:
    return Scanner(context, context.settings).scan(exchange_ms)


def requests(found: list[Found]) -> list[tuple[BackfillRequest, Priority, int | None]]:
    return [f.due for f in found if f.due]


def changed(found: list[Found]) -> list[ChangedRange]:
    return [f.changed for f in found if f.changed]


def without(rows: Records, *starts: int) -> Records:
    return rows[~np.isin(rows["start_s"], starts)]


FULL = run(EDGE, CAPACITY - 2)


def test_a_series_that_was_never_requested_is_started_at_once(context: Context) -> None:
    assert requests(scan(context)) == [(GAP, Priority.START, None)]


def test_a_series_that_only_the_stream_has_delivered_is_started(context: Context) -> None:
    rows = run(NEWEST - STEP, 2)
    rows["flags"] = CandleState.CLOSED
    write(context, rows)
    assert requests(scan(context)) == [(GAP, Priority.START, None)]


def test_in_a_complete_series_nothing_is_found_and_its_indicator_only_if_it_is_behind(context: Context) -> None:
    write(context, FULL)
    assert scan(context) == [Found(series(), 0, changed=ChangedRange("BTC-USD", BASE, NEWEST, NEWEST))]
    compute(context)
    assert scan(context) == []


@pytest.mark.parametrize("bucket", [EDGE, EDGE + 5 * STEP, NEWEST - STEP, NEWEST])
def test_one_missing_bucket_anywhere_in_the_ring_is_requested(context: Context, bucket: int) -> None:
    write(context, without(FULL, bucket))
    (found,) = [f for f in scan(context) if f.due]
    assert found.buckets == 1
    assert found.due == (GAP, Priority.HISTORY if bucket == EDGE else Priority.GAP, None)


def test_one_provisional_candle_in_a_complete_series_is_requested(context: Context) -> None:
    rows = FULL.copy()
    rows["flags"][-5] |= PROVISIONAL
    write(context, rows)
    (found,) = [f for f in scan(context) if f.due]
    assert (found.buckets, found.due) == (1, (GAP, Priority.GAP, None))


def test_a_candle_of_the_stream_is_confirmed_without_a_reconciliation(context: Context) -> None:
    """It closed just before a long downtime, so no reconciliation has compared it with REST."""
    rows = FULL.copy()
    reached = NEWEST - 348 * STEP
    rows["flags"][np.isin(rows["start_s"], [reached - STEP, reached, NEWEST])] = CandleState.CLOSED
    write(context, rows)
    (found,) = [f for f in scan(context) if f.due]
    assert found.buckets == 1
    rows["flags"][rows["start_s"] < reached] = CandleState.CONFIRMED
    write(context, rows)
    assert requests(scan(context)) == []


def test_a_ring_grows_to_the_capacity_of_the_settings_and_requests_history(
    redis_client: redis.Redis, context: Context
) -> None:
    write(context, FULL, origin=Origin.given(EDGE))
    larger = Context(context.settings.model_copy(update={"series_capacity": 2 * CAPACITY}), redis_client)
    (found,) = [f for f in Scanner(larger, larger.settings).scan(NOW_MS) if f.due]
    assert found.due == (GAP, Priority.HISTORY, None)
    assert found.buckets == CAPACITY
    held = larger.candles.read_whole(series(), NEWEST)
    assert held.over["start_s"].tolist() == FULL["start_s"].tolist(), "nothing was lost"


def test_buckets_that_the_stream_may_still_bring_are_not_requested(context: Context) -> None:
    write(context, without(FULL, NEWEST), origin=Origin.given(EDGE))
    early_ms = (NEWEST + STEP) * 1000 + 1_999
    assert requests(scan(context, early_ms)) == []
    assert len(requests(scan(context, early_ms + 1))) == 1


def test_an_uncovered_bucket_is_requested_when_it_is_due(context: Context) -> None:
    write(context, without(FULL, NEWEST - 3 * STEP))
    requested_s = NOW_MS / 1000 - 10
    context.queue.note_uncovered(GAP, (Uncovered(NEWEST - 3 * STEP, NEWEST - 3 * STEP, requested_s, 1),))
    assert requests(scan(context)) == [(GAP, Priority.GAP, int(requested_s * 1000) + 300_000)]


@pytest.mark.parametrize("later_ms", [3_599_999, -3_599_999])
def test_a_request_that_was_given_up_rests_for_an_hour(context: Context, later_ms: int) -> None:
    context.queue.add([(GAP, Priority.GAP)])
    context.queue.claim(NOW_MS)
    context.queue.fail(GAP, "why", NOW_MS)
    assert scan(context, NOW_MS + later_ms) == []
    assert len(scan(context, NOW_MS + 3_600_000)) == 1
    assert len(scan(context, NOW_MS - 3_600_000)) == 1, "a clock that was ahead, or back, makes nobody wait for ever"


def test_empty_buckets_that_carry_another_close_are_computed_again(context: Context) -> None:
    quiet = NEWEST - 40 * STEP
    write(context, np.concatenate([without(FULL, quiet), empty(quiet, 99.0)]))
    compute(context)
    assert ChangedRange("BTC-USD", BASE, quiet, quiet) in changed(scan(context))


def test_a_longer_candle_that_can_be_built_is_built_and_the_others_are_requested(redis_client: redis.Redis) -> None:
    context = context_of(redis_client, "5m", "15m")
    write(context, FULL)
    newest = M15.last_over(NOW_MS / 1000 - 2)
    held = run(newest - 300 * 900, 301, step=900)
    write(context, without(held, newest - 900, newest - 5 * 900), M15, Origin.given(int(held["start_s"][0])))
    found = scan(context)
    first, last = newest - 5 * 900, newest - 900 + 2 * STEP
    assert ChangedRange("BTC-USD", BASE, first, last) in changed(found)
    assert requests(found) == [], "all that is missing can be built"


def test_a_longer_candle_of_which_a_child_is_missing_is_not_built(redis_client: redis.Redis) -> None:
    context = context_of(redis_client, "5m", "15m")
    newest = M15.last_over(NOW_MS / 1000 - 2)
    write(context, without(FULL, newest - 900 + STEP))
    held = run(newest - 300 * 900, 301, step=900)
    write(context, without(held, newest - 900), M15, Origin.given(int(held["start_s"][0])))
    assert not any(t.first_s <= newest - 900 <= t.last_s for t in changed(scan(context)) if t.last_s < NEWEST)


def test_longer_candles_from_before_the_first_shorter_one_are_requested(redis_client: redis.Redis) -> None:
    context = context_of(redis_client, "5m", "15m")
    write(context, FULL)
    newest = M15.last_over(NOW_MS / 1000 - 2)
    lost = newest - 250 * 900
    held = run(newest - 300 * 900, 301, step=900)
    write(context, without(held, lost), M15, Origin.given(int(held["start_s"][0])))
    request = BackfillRequest(Kind.GAP, "BTC-USD", M15)
    assert requests(scan(context)) == [(request, Priority.GAP, None)]

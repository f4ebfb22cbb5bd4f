"""Evidence in the cache, on a real Redis: silence, provisional candles, origins, and wrong clocks."""

from __future__ import annotations

import numpy as np
import pytest
import redis

from app.market.candles import CandleState
from app.market.records import CORRECTED, EMPTY, PROVISIONAL, RECORD, SILENT, Records, state_of
from app.storage import keys
from app.storage.candles import SPARE, CandleCache
from app.storage.clock import ClockCache
from app.storage.model import NO_ORIGIN, Origin, Outcome, View, Write
from tests.build import B0, STEP, empty, records, run, series

pytestmark = pytest.mark.integration

FORMING, CLOSED, CONFIRMED = CandleState.FORMING, CandleState.CLOSED, CandleState.CONFIRMED
CAPACITY = 20
LAST = B0 + (CAPACITY - 1) * STEP


@pytest.fixture
def cache(redis_client: redis.Redis) -> CandleCache:
    return CandleCache(redis_client, capacity=CAPACITY, events_kept=100)


def put(cache: CandleCache, *rows: Records) -> list[Outcome]:
    """Write each of `rows` in a separate call; notes are not announced."""
    written = [cache.write([Write(series(), row)], announce=bool(state_of(row).all())) for row in rows]
    return [outcome for some in written for w in some for outcome in w.outcomes]


def whole(cache: CandleCache) -> View:
    return cache.read(series(), B0, LAST)


def flags(cache: CandleCache) -> list[int]:
    return [int(f) for f in whole(cache).records["flags"]]


def marked(rows: Records, mark: int) -> Records:
    rows["flags"] |= mark
    return rows


def silent(start_s: int = B0) -> Records:
    """A note that the stream was silent in the bucket."""
    note = np.zeros(1, RECORD)
    note["start_s"], note["flags"] = start_s, EMPTY | SILENT
    return note


def rests_on_silence(start_s: int = B0) -> Records:
    return marked(empty(start_s, 10.0), SILENT)


# Silence.


def test_a_note_is_not_a_candle_and_not_a_change(cache: CandleCache, redis_client: redis.Redis) -> None:
    put(cache, records((B0 + STEP, CLOSED)))
    revision, events = whole(cache).revision, redis_client.xlen(keys.EVENTS)
    cache.write([Write(series(), np.concatenate([silent(), silent(B0 + 2 * STEP)]))], announce=False)
    view = whole(cache)
    assert view.records["start_s"].tolist() == [B0 + STEP]
    assert view.silent_s == (B0, B0 + 2 * STEP)
    assert (view.revision, redis_client.xlen(keys.EVENTS)) == (revision, events)


@pytest.mark.parametrize("known", [FORMING, CLOSED, CONFIRMED])
def test_a_note_never_replaces_a_candle(cache: CandleCache, known: CandleState) -> None:
    """One of two ingests may have missed candles."""
    put(cache, records((B0, known)))
    before = whole(cache).records.tobytes()
    assert put(cache, silent()) == [Outcome.REFUSED]
    assert whole(cache).records.tobytes() == before
    assert whole(cache).silent_s == ()


@pytest.mark.parametrize("state", [FORMING, CLOSED, CONFIRMED])
def test_a_candle_replaces_a_note(cache: CandleCache, state: CandleState) -> None:
    outcome = Outcome.UPDATED if state is FORMING else Outcome.INSERTED
    assert put(cache, silent(), records((B0, state))) == [Outcome.UPDATED, outcome]
    assert (flags(cache), whole(cache).silent_s) == ([state], ())


def test_a_note_replaces_an_older_bucket_in_its_slot(cache: CandleCache) -> None:
    put(cache, records((B0 - CAPACITY * STEP, CONFIRMED)))
    assert put(cache, silent()) == [Outcome.UPDATED]
    assert whole(cache).silent_s == (B0,)
    assert put(cache, silent(B0 - CAPACITY * STEP)) == [Outcome.REFUSED]


def test_a_break_voids_silence(cache: CandleCache) -> None:
    put(cache, silent(), rests_on_silence(B0 + STEP), empty(B0 + 2 * STEP, 10.0), silent(B0 + 3 * STEP))
    assert cache.mark_provisional([(series(), B0, B0 + 2 * STEP)]) == 1
    assert flags(cache) == [CONFIRMED | EMPTY | PROVISIONAL, CONFIRMED | EMPTY]
    assert whole(cache).silent_s == (B0 + 3 * STEP,)
    assert put(cache, silent()) == [Outcome.UPDATED], "another ingest's stream was whole"
    assert whole(cache).silent_s == (B0, B0 + 3 * STEP)


def test_a_close_with_trades_replaces_an_empty_candle_that_rests_on_silence(cache: CandleCache) -> None:
    put(cache, rests_on_silence())
    assert put(cache, records((B0, CLOSED, 10.5, 1))) == [Outcome.CORRECTED]
    assert flags(cache) == [CLOSED | CORRECTED]
    assert put(cache, empty(B0 + STEP, 10.5), records((B0 + STEP, CLOSED))) == [Outcome.INSERTED, Outcome.REFUSED], (
        "what REST has confirmed stays until REST says otherwise"
    )


@pytest.mark.parametrize("forming", [False, True], ids=["a break", "an update of the open bucket"])
def test_a_close_with_trades_replaces_an_empty_candle_of_void_silence(cache: CandleCache, forming: bool) -> None:
    put(cache, rests_on_silence())
    if forming:
        assert put(cache, records((B0, FORMING, 10.5, 9))) == [Outcome.REFUSED]
    else:
        cache.mark_provisional([(series(), B0, B0)])
    assert flags(cache) == [CONFIRMED | EMPTY | PROVISIONAL]
    assert put(cache, records((B0, CLOSED, 10.5, 9))) == [Outcome.CORRECTED]
    assert flags(cache) == [CLOSED | CORRECTED]


# Provisional candles.


def test_a_candle_that_is_no_longer_provisional_is_a_change_without_event(
    cache: CandleCache, redis_client: redis.Redis
) -> None:
    put(cache, marked(records((B0, CLOSED, 10.0, 1)), PROVISIONAL))
    revision, events = whole(cache).revision, redis_client.xlen(keys.EVENTS)
    (written,) = cache.write([Write(series(), records((B0, CONFIRMED, 10.0, 2)))])
    assert written.outcomes == [Outcome.RESOLVED]
    assert written.changed_starts == [B0]
    assert whole(cache).revision == revision + 1
    assert flags(cache) == [CONFIRMED]
    assert redis_client.xlen(keys.EVENTS) == events


def test_a_provisional_candle_that_is_found_wrong_is_a_correction(cache: CandleCache) -> None:
    put(cache, marked(records((B0, CLOSED, 10.0, 1)), PROVISIONAL))
    assert put(cache, records((B0, CONFIRMED, 10.5, 2))) == [Outcome.CORRECTED]
    assert flags(cache) == [CONFIRMED | CORRECTED]


# Time from the future.


def test_a_record_from_the_future_is_replaced(cache: CandleCache, redis_client: redis.Redis) -> None:
    put(cache, records((B0 + 5 * CAPACITY * STEP, CONFIRMED)))
    assert put(cache, records((B0, CLOSED))) == [Outcome.REFUSED], "while no clock is known, it is the newest"
    ClockCache(redis_client, "coinbase").set((B0 + 10 * STEP) * 1000)
    assert put(cache, records((B0, CLOSED))) == [Outcome.INSERTED]
    assert whole(cache).records["start_s"].tolist() == [B0]


@pytest.mark.parametrize("row", [silent(), records((B0, FORMING)), records((B0, CONFIRMED))])
def test_a_record_from_the_future_is_replaced_by_anything(
    cache: CandleCache, redis_client: redis.Redis, row: Records
) -> None:
    ClockCache(redis_client, "coinbase").set(B0 * 1000)
    put(cache, records((B0 + CAPACITY * STEP, CONFIRMED)))
    assert put(cache, row) != [Outcome.REFUSED]


def test_a_bucket_that_begins_a_moment_ahead_of_the_clock_stays(cache: CandleCache, redis_client: redis.Redis) -> None:
    ClockCache(redis_client, "coinbase").set((B0 + CAPACITY * STEP) * 1000 - 900)
    put(cache, records((B0 + CAPACITY * STEP, FORMING)))
    assert put(cache, records((B0, CONFIRMED))) == [Outcome.REFUSED]


@pytest.mark.parametrize(("ahead_s", "outcome"), [(86_400, Outcome.CORRECTED), (299, Outcome.REFUSED)])
def test_an_observation_from_the_future_is_the_oldest(
    cache: CandleCache, redis_client: redis.Redis, ahead_s: int, outcome: Outcome
) -> None:
    now_ms = (B0 + STEP) * 1000
    ClockCache(redis_client, "coinbase").set(now_ms)
    put(cache, records((B0, CLOSED, 10.0, now_ms + ahead_s * 1000)))
    assert put(cache, records((B0, CLOSED, 10.5, now_ms))) == [outcome]


def test_the_clock_of_another_exchange_does_not_count(cache: CandleCache, redis_client: redis.Redis) -> None:
    ClockCache(redis_client, "elsewhere").set(B0 * 1000)
    put(cache, records((B0 + CAPACITY * STEP, CONFIRMED)))
    assert put(cache, records((B0, CONFIRMED))) == [Outcome.REFUSED]


# Origins.


def origin_after(cache: CandleCache, *moves: tuple[Origin, int]) -> Origin:
    for origin, known_s in moves:
        cache.write([Write(series(), records()[:0], origin, known_s)])
    return whole(cache).origin


def test_an_origin_is_stored_with_its_checks(cache: CandleCache) -> None:
    seen_s = B0 // 4 * 4
    assert origin_after(cache, (NO_ORIGIN, 0)) == NO_ORIGIN
    assert origin_after(cache, (Origin(B0, seen_s, 1), 0)) == Origin(B0, seen_s, 1)
    assert origin_after(cache, (Origin(B0, seen_s + 900, 2), B0)) == Origin(B0, seen_s + 900, 2)
    assert origin_after(cache, (Origin(B0, seen_s, 9), B0)).responses == 3, "more are not counted"


def test_an_origin_moves_forward_only_if_the_writer_knew_it(cache: CandleCache) -> None:
    """Another worker may have found older trades since; they must not be lost."""
    old, new = Origin(B0, 400, 2), Origin(B0 + 9 * STEP, 800, 2)
    assert origin_after(cache, (old, 0), (new, B0 + 5 * STEP)) == old
    assert origin_after(cache, (new, B0)) == new
    assert origin_after(cache, (old, B0 + 5 * STEP)) == old, "an older one wins over whatever was known"


def test_an_unknown_origin_does_not_replace_an_origin(cache: CandleCache) -> None:
    known = Origin(B0, 400, 2)
    assert origin_after(cache, (known, 0), (Origin(0, 800, 1), 0)) == known


# Rings that grow.


@pytest.mark.parametrize("capacity", [102, 118])
@pytest.mark.parametrize("bucket", range(CAPACITY))
def test_a_ring_that_grows_keeps_the_newer_of_two_for_a_slot(cache: CandleCache, capacity: int, bucket: int) -> None:
    """After a downtime stale slots remain; in the longer ring they may collide with those of new candles."""
    newer_s = B0 + (bucket + capacity) * STEP
    put(cache, run(B0, CAPACITY), records((newer_s, CONFIRMED)))
    cache.reach_back(series(), newer_s - (capacity - SPARE - 1) * STEP, newer_s)
    assert cache.read(series(), newer_s, newer_s).records["start_s"].tolist() == [newer_s]
    rest = cache.read(series(), newer_s - (capacity - 1) * STEP, newer_s)
    assert len(rest.records) == CAPACITY - bucket - ((bucket + capacity) % CAPACITY > bucket)
    assert (state_of(rest.records) == CONFIRMED).all()


def test_a_ring_that_grows_keeps_its_revision_and_never_shrinks(cache: CandleCache) -> None:
    put(cache, run(B0, CAPACITY))
    revision = whole(cache).revision
    for reach in (300, 30):
        cache.reach_back(series(), LAST - reach * STEP, LAST)
        view = cache.read_whole(series(), LAST)
        assert (len(view.records), view.revision) == (CAPACITY, revision)
        assert view.from_s == LAST - (300 + SPARE) * STEP
    assert put(cache, records((B0 - 100 * STEP, CONFIRMED))) == [Outcome.INSERTED]


def test_the_origin_of_a_ring_that_grows_is_unproven_again(cache: CandleCache) -> None:
    """A product with few trades may have traded before the first trade that the shorter ring could hold."""
    put(cache, run(B0 + 5 * STEP, CAPACITY - 5))
    known = origin_after(cache, (Origin(B0 + 5 * STEP, 400, 2), 0))
    cache.reach_back(series(), LAST - 5 * STEP, LAST)
    assert whole(cache).origin == Origin(B0 + 5 * STEP, 0, 0)
    assert origin_after(cache, (known, B0 + 5 * STEP)) == known
    cache.reach_back(series(), LAST - 5 * STEP, LAST)
    assert whole(cache).origin == known, "it did not grow"


# Values.


def changed(field: str, by: float) -> Records:
    row = records((B0, CONFIRMED, 10.0, 2))
    row[field] += by
    return row


@pytest.mark.parametrize(
    ("field", "by"), [("open", 0.5), ("high", 0.5), ("low", -0.5), ("close", 0.5), ("volume", 1e-4)]
)
def test_one_other_value_is_a_correction(cache: CandleCache, field: str, by: float) -> None:
    put(cache, records((B0, CLOSED, 10.0, 1)))
    assert put(cache, changed(field, by)) == [Outcome.CORRECTED]


def test_an_empty_candle_is_another_one_than_one_with_trades_at_the_same_price(cache: CandleCache) -> None:
    traded = empty(B0, 10.0, CONFIRMED, 2)
    traded["flags"] = CONFIRMED
    assert put(cache, empty(B0, 10.0, CLOSED, 1), traded) == [Outcome.INSERTED, Outcome.CORRECTED]


def test_a_provisional_candle_is_not_resolved_by_another_one(cache: CandleCache) -> None:
    put(cache, marked(records((B0, CLOSED, 10.0, 1)), PROVISIONAL))
    assert put(cache, marked(records((B0, CLOSED, 10.0, 2)), PROVISIONAL)) == [Outcome.UNCHANGED]
    assert flags(cache) == [CLOSED | PROVISIONAL]


def test_a_close_that_contradicts_a_confirmed_candle_is_refused_and_named(cache: CandleCache) -> None:
    put(cache, records((B0, CONFIRMED, 10.0, 1)))
    (written,) = cache.write([Write(series(), records((B0, CLOSED, 10.5, 2)))])
    assert (written.outcomes, written.before[0]["close"].tolist()) == ([Outcome.REFUSED], [10.0])
    (written,) = cache.write([Write(series(), records((B0, FORMING, 10.5, 2)))])
    assert (written.outcomes, written.before) == ([Outcome.REFUSED], {})


def test_confirmation_by_rest_is_not_a_correction_of_silence(cache: CandleCache) -> None:
    put(cache, rests_on_silence())
    assert put(cache, empty(B0, 10.0, CONFIRMED, 9)) == [Outcome.UNCHANGED]


# Marks.


def test_a_candle_is_marked_provisional_once(cache: CandleCache) -> None:
    put(cache, run(B0, 2, CLOSED))
    span = [(series(), B0, B0 + STEP)]
    assert [cache.mark_provisional(span), cache.mark_provisional(span)] == [2, 0]
    assert flags(cache) == [CLOSED | PROVISIONAL] * 2


def test_each_series_is_marked_only_in_its_own_range(cache: CandleCache) -> None:
    put(cache, run(B0, 3, CLOSED))
    cache.write([Write(series("ETH-USD"), run(B0, 3, CLOSED))])
    later_s = B0 + CAPACITY * STEP
    ranges = [
        (series(), B0, B0),
        (series("ETH-USD"), B0 + 2 * STEP, B0 + 2 * STEP),
        (series(), later_s, later_s + STEP),
    ]
    assert cache.mark_provisional(ranges) == 2
    assert flags(cache) == [CLOSED | PROVISIONAL, CLOSED, CLOSED]
    other = cache.read(series("ETH-USD"), B0, LAST).records["flags"]
    assert other.tolist() == [CLOSED, CLOSED, CLOSED | PROVISIONAL]

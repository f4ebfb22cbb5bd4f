"""The compare-and-set on a real Redis: one candle per bucket, for any writes in any order."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.market.candles import CandleState
from app.market.records import CORRECTED, EMPTY, GUARDED, PROVISIONAL, RECORD, SILENT, Records
from app.storage import keys
from app.storage.candles import CALLS_PER_PIPELINE, SERIES_PER_CALL, CandleCache
from app.storage.model import CHANGES, Origin, Outcome, Write
from tests.build import B0, STEP, candle, empty, records, run, series
from tests.support import PATIENCE_S

pytestmark = pytest.mark.integration

FORMING, CLOSED, CONFIRMED = CandleState.FORMING, CandleState.CLOSED, CandleState.CONFIRMED
CAPACITY = 20


@pytest.fixture
def cache(redis_client: redis.Redis) -> CandleCache:
    return CandleCache(redis_client, capacity=CAPACITY, events_kept=100)


def put(cache: CandleCache, *rows: Records) -> list[Outcome]:
    return [o for row in rows for w in cache.write([Write(series(), row)]) for o in w.outcomes]


def held(cache: CandleCache) -> list[tuple[int, int, float]]:
    view = cache.read(series(), B0, B0 + (CAPACITY - 1) * STEP)
    return [(int(r["start_s"]), int(r["flags"]) & 3, float(r["close"])) for r in view.records]


def test_a_bucket_is_forming_then_closed_then_confirmed_and_never_back(cache: CandleCache) -> None:
    outcomes = put(
        cache,
        records((B0, FORMING, 10.0, 1)),
        records((B0, FORMING, 10.1, 2)),
        records((B0, CLOSED, 10.2, 3)),
        records((B0, FORMING, 10.3, 9)),
        records((B0, CONFIRMED, 10.2, 4)),
        records((B0, CLOSED, 10.4, 9)),
    )
    assert outcomes == [
        Outcome.UPDATED,
        Outcome.UPDATED,
        Outcome.INSERTED,
        Outcome.REFUSED,
        Outcome.CONFIRMED,
        Outcome.REFUSED,
    ]
    assert held(cache) == [(B0, CONFIRMED, 10.2)]


def test_written_twice_is_written_once(cache: CandleCache) -> None:
    assert put(cache, *[records((B0, CLOSED))] * 3) == [Outcome.INSERTED, Outcome.UNCHANGED, Outcome.UNCHANGED]


def test_a_correction_returns_the_old_candle_and_is_flagged(cache: CandleCache) -> None:
    put(cache, records((B0, CLOSED, 10.0, 1)))
    (written,) = cache.write([Write(series(), records((B0, CLOSED, 10.5, 2)))])
    assert written.outcomes == [Outcome.CORRECTED]
    assert written.before[0]["close"].tolist() == [10.0]
    assert cache.read(series(), B0, B0).records["flags"][0] & CORRECTED
    put(cache, records((B0, CONFIRMED, 10.5, 3)))
    assert cache.read(series(), B0, B0).records["flags"][0] & CORRECTED, "confirming does not take the mark away"


def test_a_candle_with_trades_replaces_an_empty_bucket(cache: CandleCache) -> None:
    put(cache, empty(B0, 10.0, observed_ms=5))
    assert put(cache, records((B0, CONFIRMED, 10.0, 6))) == [Outcome.CORRECTED]


def test_a_rounding_difference_of_volume_is_not_a_correction(cache: CandleCache) -> None:
    first, second = records((B0, CLOSED, 10.0, 1)), records((B0, CONFIRMED, 10.0, 2))
    first["volume"], second["volume"] = 0.1 + 0.2, 0.3
    assert put(cache, first, second) == [Outcome.INSERTED, Outcome.CONFIRMED]


def test_the_ring_drops_the_oldest_and_refuses_older_candles(cache: CandleCache) -> None:
    put(cache, run(B0, CAPACITY + 3))
    view = cache.read(series(), 0, B0 + (CAPACITY + 2) * STEP)
    assert view.records["start_s"].tolist() == [B0 + i * STEP for i in range(3, CAPACITY + 3)]
    assert view.from_s == B0 + 3 * STEP
    assert put(cache, records((B0, CONFIRMED))) == [Outcome.REFUSED]


def test_only_candles_of_the_stream_are_marked_and_a_response_clears_it(cache: CandleCache) -> None:
    put(cache, run(B0, 2, CONFIRMED), run(B0 + 2 * STEP, 2, CLOSED), records((B0 + 4 * STEP, FORMING)))
    revision = cache.read(series(), B0, B0).revision
    assert cache.mark_provisional([(series(), B0, B0 + 9 * STEP), (series("NEW-USD"), B0, B0)]) == 2
    view = cache.read(series(), B0, B0 + 9 * STEP)
    assert (view.records["flags"] & PROVISIONAL != 0).tolist() == [False, False, True, True, False]
    assert view.revision == revision
    assert put(cache, run(B0 + 2 * STEP, 1, CONFIRMED)) == [Outcome.RESOLVED]
    assert not cache.read(series(), B0 + 2 * STEP, B0 + 2 * STEP).records["flags"][0] & PROVISIONAL


def test_confirmed_candles_are_marked_only_on_request(cache: CandleCache) -> None:
    put(cache, run(B0, 2, CONFIRMED), run(B0 + 2 * STEP, 1, CLOSED), records((B0 + 3 * STEP, FORMING)))
    span, before = [(series(), B0, B0 + 9 * STEP)], cache.read(series(), B0, B0).revision
    assert cache.mark_provisional(span, confirmed=True) == 3
    assert cache.mark_provisional(span, confirmed=True) == 0
    view = cache.read(series(), B0, B0 + 9 * STEP)
    assert view.revision == before + 1, "a doubt is news, once"
    assert (view.records["flags"] & PROVISIONAL != 0).tolist() == [True, True, True, False]


def test_marking_a_confirmed_candle_does_not_void_silence(cache: CandleCache) -> None:
    silent = empty(B0, 10.0, CONFIRMED)
    silent["flags"] |= SILENT
    put(cache, silent)
    span = [(series(), B0, B0)]
    assert cache.mark_provisional(span, confirmed=True) == 1
    assert cache.read(series(), B0, B0).records["flags"].tolist() == [CONFIRMED | EMPTY | SILENT | PROVISIONAL]
    assert cache.mark_provisional(span) == 0
    assert cache.read(series(), B0, B0).records["flags"].tolist() == [CONFIRMED | EMPTY | PROVISIONAL]


def test_the_revision_grows_only_with_changes(cache: CandleCache) -> None:
    def revision() -> int:
        return cache.read(series(), B0, B0).revision

    put(cache, records((B0, FORMING)))
    before = revision()
    put(cache, records((B0, FORMING, 10.1, 2)))
    assert revision() == before
    put(cache, records((B0, CLOSED, 10.1, 3)))
    assert revision() == before + 1
    put(cache, records((B0, CONFIRMED, 10.1, 4)))
    assert revision() == before + 1
    put(cache, records((B0, CONFIRMED, 10.2, 5)))
    assert revision() == before + 2


def test_a_deleted_ring_comes_back_with_a_later_revision(cache: CandleCache, redis_client: redis.Redis) -> None:
    put(cache, run(B0, 5))
    before = cache.read(series(), B0, B0).revision
    redis_client.delete(keys.candles(series()))
    second = redis_client.time()[0]
    while redis_client.time()[0] == second:
        pass
    put(cache, run(B0, 1))
    assert cache.read(series(), B0, B0).revision > before


def test_a_change_is_announced_once_with_the_finished_bucket(cache: CandleCache, redis_client: redis.Redis) -> None:
    with redis_client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.psubscribe("candle:*")
        listener.get_message(timeout=PATIENCE_S)
        put(cache, records((B0, FORMING)), *[records((B0, CLOSED, 10.5, 2))] * 2, records((B0, CLOSED, 10.6, 3)))
        redis_client.publish("candle:end", "{}")
        received = [listener.get_message(timeout=PATIENCE_S) for _ in range(3)]
    messages = [(m["channel"].decode(), json.loads(m["data"])) for m in received]
    assert [(channel, data["start"], data["close"], data["state"]) for channel, data in messages[:2]] == [
        ("candle:close:coinbase:BTC-USD:5m", B0, 10.5, "closed"),
        ("candle:correction:coinbase:BTC-USD:5m", B0, 10.6, "closed"),
    ]
    assert messages[2:] == [("candle:end", {})]
    kinds = [fields[b"kind"] for _, fields in redis_client.xrange(keys.EVENTS)]
    assert kinds == [b"close", b"correction"]


def test_history_can_be_written_without_events(cache: CandleCache, redis_client: redis.Redis) -> None:
    cache.write([Write(series(), run(B0, 5), Origin.given(B0))], announce=False)
    assert redis_client.xlen(keys.EVENTS) == 0
    assert cache.read(series(), B0, B0).origin == Origin.given(B0)


def test_many_series_in_one_call_are_kept_apart(cache: CandleCache) -> None:
    many = [series(f"P{i}-USD") for i in range(200)]
    cache.write(Write(s, records((B0, CLOSED, 10 + i / 1000))) for i, s in enumerate(many))
    views = cache.read_many([(s, B0, B0) for s in many])
    assert [float(v.records["close"][0]) for v in views] == [10 + i / 1000 for i in range(200)]


def test_many_calls_at_once_survive_a_server_that_lost_the_script(redis_client: redis.Redis) -> None:
    cache = CandleCache(redis_client, capacity=CAPACITY, events_kept=10_000)
    many = [series(f"P{i}-USD") for i in range(CALLS_PER_PIPELINE * SERIES_PER_CALL + 3)]
    redis_client.script_flush()
    written = cache.write(Write(s, records((B0, CLOSED, 10 + i / 1000))) for i, s in enumerate(many))
    assert [(w.series, w.outcomes) for w in written] == [(s, [Outcome.INSERTED]) for s in many]
    views = cache.read_many([(s, B0, B0) for s in many])
    assert [float(v.records["close"][0]) for v in views] == [10 + i / 1000 for i in range(len(many))]
    assert redis_client.xlen(keys.EVENTS) == len(many)


def test_a_range_that_wraps_around_the_ring_is_read_in_order(cache: CandleCache) -> None:
    put(cache, run(B0, 2 * CAPACITY))
    last = B0 + (2 * CAPACITY - 1) * STEP
    for count in (1, 7, CAPACITY):
        starts = cache.read(series(), last - (count - 1) * STEP, last).records["start_s"]
        assert starts.tolist() == list(range(last - (count - 1) * STEP, last + 1, STEP))


def test_rings_of_any_length_are_read(cache: CandleCache, redis_client: redis.Redis) -> None:
    put(cache, run(B0, CAPACITY))
    last = B0 + (CAPACITY - 1) * STEP
    expected = cache.read(series(), B0, last)
    for usual in (1, CAPACITY - 1, CAPACITY + 1, 50 * CAPACITY):
        other = CandleCache(redis_client, capacity=usual, events_kept=100)
        for _ in range(2):  # the second time the length is known
            found, nothing = other.read_many([(series(), B0, last), (series("NEW-USD"), B0, last)])
            assert (found.records.tolist(), found.revision) == (expected.records.tolist(), expected.revision)
            assert (len(nothing.records), nothing.revision) == (0, 0)


def test_an_unwritten_slot_is_not_a_candle_of_bucket_0(cache: CandleCache) -> None:
    put(cache, run(B0, 3))
    assert not len(cache.read(series(), 0, 2 * STEP).records)
    assert not len(cache.read_whole(series(), 2 * STEP).records)


def test_whole_rings_are_read_as_ranges_are(cache: CandleCache) -> None:
    put(cache, run(B0, 13), run(B0 + 15 * STEP, 17))
    for last in (B0 + 20 * STEP, B0 + 31 * STEP, B0 + 40 * STEP):
        whole, view = cache.read_whole(series(), last), cache.read(series(), 0, last)
        assert whole.records.tolist() == view.records.tolist()
        assert whole[1:] == view[1:]
    assert cache.read_whole(series("NEW-USD"), B0).revision == 0


writes = st.tuples(
    st.integers(0, 3), st.sampled_from([FORMING, CLOSED, CONFIRMED]), st.integers(0, 3), st.integers(1, 3)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(writes, min_size=1, max_size=12), st.randoms(use_true_random=False), st.booleans())
def test_any_order_and_any_repetition_leave_the_same_cache(
    redis_client: redis.Redis, response: list[tuple[int, CandleState, int, int]], chance: random.Random, at_once: bool
) -> None:
    cache = CandleCache(redis_client, capacity=CAPACITY, events_kept=100)

    def outcome_of(order: list[tuple[int, CandleState, int, int]]) -> bytes:
        redis_client.delete(keys.candles(series()))
        rows = [records((B0 + b * STEP, state, 10 + c / 10, t)) for b, state, c, t in order]
        put(cache, *([np.concatenate(rows)] if at_once else rows))
        view = cache.read(series(), B0, B0 + 3 * STEP).records.copy()
        view["flags"] &= ~np.uint32(CORRECTED)
        return view.tobytes()

    shuffled = response + chance.sample(response, len(response) // 2)
    chance.shuffle(shuffled)
    assert outcome_of(response) == outcome_of(shuffled)


def test_records_come_back_bit_for_bit(cache: CandleCache) -> None:
    chance = np.random.default_rng(1)
    sent = run(B0, CAPACITY)
    for field in ("open", "close", "volume"):
        sent[field] = chance.uniform(9, 11, CAPACITY)
    put(cache, sent)
    got = cache.read(series(), B0, B0 + (CAPACITY - 1) * STEP).records
    assert got.tobytes() == sent.tobytes()
    assert got.dtype == RECORD
    assert candle().start_s == B0


@pytest.mark.parametrize("state", [FORMING, CLOSED])
def test_a_response_does_not_replace_more_trades_written_since(cache: CandleCache, state: CandleState) -> None:
    """Between the response and its write a stream may have written the bucket with more trades."""
    seen = records((B0, state))
    seen["volume"] = 4
    less, nothing, more = records((B0, CONFIRMED)), empty(B0, 10.0), records((B0, CONFIRMED))
    more["volume"] = 5
    for response in (less, nothing, more):
        response["flags"] |= GUARDED
        response["observed_ms"] = 9
    assert put(cache, seen, less, nothing)[1:] == [Outcome.REFUSED, Outcome.REFUSED]
    there = cache.read(series(), B0, B0).records
    assert there["volume"].tolist() == [4.0]
    assert bool(there["flags"][0] & PROVISIONAL) is (state is CLOSED), "REST is requested once more"
    assert put(cache, more)[0] in CHANGES
    assert not cache.read(series(), B0, B0).records["flags"][0] & GUARDED
    overruled = less.copy()
    overruled["flags"] -= GUARDED
    overruled["observed_ms"] = 10
    assert put(cache, overruled) == [Outcome.CORRECTED], "unless another response agreed"


def test_a_response_confirms_a_rounded_volume_and_an_empty_bucket(cache: CandleCache) -> None:
    seen, response = records((B0, CLOSED)), records((B0, CONFIRMED, 10.0, 2))
    seen["volume"], response["volume"] = 0.1 + 0.2, 0.3
    response["flags"] |= GUARDED
    assert put(cache, seen, response) == [Outcome.INSERTED, Outcome.CONFIRMED]
    nothing, also = empty(B0 + STEP, 10.0, CLOSED), empty(B0 + STEP, 10.0, CONFIRMED, 2)
    also["flags"] |= GUARDED
    assert put(cache, nothing, also) == [Outcome.INSERTED, Outcome.CONFIRMED]

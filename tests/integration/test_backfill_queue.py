"""The backfill queue on a real Redis."""

from __future__ import annotations

import pytest
import redis

from app.market.timeframes import Timeframe
from app.storage import queue as module
from app.storage.queue import BackfillQueue, BackfillRequest, Kind, Priority, urgency
from app.storage.requests import Uncovered
from tests.support import eventually

pytestmark = pytest.mark.integration

M1, M5, D1 = Timeframe.M1, Timeframe.M5, Timeframe.D1
NOW_MS = 1_700_000_000_000


def gap(product: str = "BTC-USD", timeframe: Timeframe = M5) -> BackfillRequest:
    return BackfillRequest(Kind.GAP, product, timeframe)


@pytest.fixture
def queue(redis_client: redis.Redis) -> BackfillQueue:
    return BackfillQueue(redis_client, "coinbase")


def claim_all(queue: BackfillQueue, exchange_ms: int = NOW_MS) -> list[BackfillRequest]:
    claimed = []
    while request := queue.claim(exchange_ms):
        claimed.append(request)
    return claimed


def test_short_timeframes_first_then_the_start_then_history_then_reconciliation(queue: BackfillQueue) -> None:
    queue.add([(BackfillRequest(Kind.RECONCILE, "BTC-USD", M5), Priority.RECONCILE)])
    queue.add([(gap("OLD-USD"), Priority.HISTORY)])
    queue.add([(gap("NEW-USD", D1), Priority.START), (gap("NEW-USD", M1), Priority.START)])
    queue.add([(gap("BTC-USD", D1), Priority.GAP), (gap("BTC-USD", M5), Priority.GAP)])
    assert claim_all(queue) == [
        gap("BTC-USD", M5),
        gap("BTC-USD", D1),
        gap("NEW-USD", M1),
        gap("NEW-USD", D1),
        gap("OLD-USD", M5),
        BackfillRequest(Kind.RECONCILE, "BTC-USD", M5),
    ]


def test_a_request_that_waited_long_enough_comes_before_urgent_ones(
    queue: BackfillQueue, redis_client: redis.Redis
) -> None:
    old = BackfillRequest(Kind.RECONCILE, "BTC-USD", M5)
    queue.add([(old, Priority.RECONCILE)])
    waited_ms = (urgency(Priority.RECONCILE, M5) + 1) * module.STEP_MS
    redis_client.zincrby("cw:2:backfill:coinbase:ready", -waited_ms, str(old))
    queue.add([(gap(timeframe=M1), Priority.GAP)])
    assert claim_all(queue) == [old, gap(timeframe=M1)]


def test_a_request_is_in_it_once_at_its_most_urgent_place(queue: BackfillQueue) -> None:
    queue.add([(gap("A-USD"), Priority.START), (gap("B-USD"), Priority.GAP)])
    queue.add([(gap("A-USD"), Priority.START)] * 3, not_before_ms=NOW_MS + 1)
    queue.add([(gap("A-USD", M5), Priority.GAP)])
    assert queue.state().total == 2
    assert set(claim_all(queue)) == {gap("A-USD"), gap("B-USD")}


def test_settling_is_waited_for_on_the_exchanges_clock(queue: BackfillQueue) -> None:
    queue.add([(gap(), Priority.GAP)], not_before_ms=NOW_MS + 5)
    assert queue.claim(NOW_MS + 4) is None
    assert queue.claim(NOW_MS + 5) == gap()


def test_a_request_is_worked_on_by_one_at_a_time(queue: BackfillQueue) -> None:
    queue.add([(gap(), Priority.GAP)])
    assert queue.claim(NOW_MS) == gap()
    queue.add([(gap(), Priority.GAP)])
    assert queue.claim(NOW_MS) is None
    queue.done(gap())
    assert eventually(lambda: queue.claim(NOW_MS)) == gap(), "asked for again while it was under way: looked at again"


def test_the_request_of_a_worker_that_died_comes_back(queue: BackfillQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.05)
    queue.add([(gap(), Priority.GAP)])
    assert queue.claim(NOW_MS) == gap()
    assert eventually(lambda: queue.claim(NOW_MS)) == gap()


def test_tries_are_counted_until_it_is_done(queue: BackfillQueue) -> None:
    queue.add([(gap(), Priority.GAP)])
    for expected in (1, 2):
        eventually(lambda: queue.claim(NOW_MS))
        assert queue.retry(gap(), 0.0) == expected == queue.attempts(gap())
    eventually(lambda: queue.claim(NOW_MS))
    queue.done(gap())
    assert queue.attempts(gap()) == 0
    assert queue.state().total == 0


def test_tries_outlive_a_budget_without_a_permit(queue: BackfillQueue) -> None:
    """Nothing was requested without a permit, so a product that is always refused is given up despite a busy budget."""
    queue.add([(gap(), Priority.GAP)])
    for tries in (1, 2, 3):
        assert eventually(lambda: queue.claim(NOW_MS)) == gap()
        queue.postpone(gap(), NOW_MS)
        assert queue.claim(NOW_MS) == gap()
        assert queue.retry(gap(), 0.0) == tries
    assert eventually(lambda: queue.claim(NOW_MS)) == gap()
    queue.settle(gap(), NOW_MS)
    assert queue.attempts(gap()) == 0, "there was a response"


def test_a_postponed_request_waits_on_the_exchanges_clock(queue: BackfillQueue) -> None:
    queue.add([(gap(), Priority.GAP)])
    queue.claim(NOW_MS)
    queue.postpone(gap(), NOW_MS + 5)
    assert queue.claim(NOW_MS + 4) is None
    assert queue.claim(NOW_MS + 5) == gap()


def test_the_rest_may_be_less_urgent_than_the_request(queue: BackfillQueue) -> None:
    queue.add([(gap("A-USD"), Priority.GAP), (gap("B-USD"), Priority.HISTORY)])
    queue.claim(NOW_MS)
    queue.settle(gap("A-USD"), NOW_MS, Priority.HISTORY)
    assert queue.priorities()[gap("A-USD")] is Priority.HISTORY
    assert set(claim_all(queue)) == {gap("B-USD"), gap("A-USD")}


UNCOVERED = (
    Uncovered(NOW_MS // 1000, NOW_MS // 1000 + 300, 7.5, 1),
    Uncovered(NOW_MS // 1000 + 900, NOW_MS // 1000 + 900, 9, 2),
)


def test_an_uncovered_request_is_kept_until_its_candles_exist_or_it_is_due(queue: BackfillQueue) -> None:
    queue.note_uncovered(gap(), UNCOVERED)
    assert queue.uncovered([gap(), gap("ETH-USD")]) == [UNCOVERED, ()]
    queue.add([(gap(), Priority.GAP)])
    queue.claim(NOW_MS)
    queue.settle(gap(), NOW_MS + 1)
    assert queue.uncovered([gap()]) == [UNCOVERED]
    queue.add([(gap(), Priority.GAP)], anew=True)
    assert queue.uncovered([gap()]) == [()], "the stream has broken: what was said before does not count"
    queue.note_uncovered(gap(), UNCOVERED)
    queue.done(gap())
    assert queue.uncovered([gap()]) == [()]
    queue.note_uncovered(gap(), UNCOVERED)
    queue.note_uncovered(gap(), ())
    assert queue.uncovered([gap()]) == [()]


def test_nothing_is_kept_of_products_that_are_no_longer_followed(queue: BackfillQueue) -> None:
    """Their failures would stay on record and raise alarms permanently."""
    for product in ("BTC-USD", "GONE-USD"):
        queue.add([(gap(product), Priority.GAP), (gap(product, D1), Priority.GAP)])
        queue.note_uncovered(gap(product), UNCOVERED)
    for request in claim_all(queue):
        if request.timeframe is D1:
            queue.retry(request, 60)
        else:
            queue.fail(request, "404", NOW_MS)
    assert queue.forget({"BTC-USD"}) == 3
    assert set(queue.failures()) == {gap()}
    assert queue.uncovered([gap(), gap("GONE-USD")]) == [UNCOVERED, ()]
    assert (queue.attempts(gap(timeframe=D1)), queue.attempts(gap("GONE-USD", D1))) == (1, 0)
    assert queue.forget({"BTC-USD"}) == 0


def test_a_given_up_request_is_on_record_until_it_is_done(queue: BackfillQueue) -> None:
    queue.add([(gap(), Priority.GAP)])
    queue.claim(NOW_MS)
    queue.fail(gap(), "no such product", NOW_MS)
    assert queue.failures() == {gap(): {"reason": "no such product", "exchange_ms": NOW_MS}}
    assert queue.state().total == 0
    queue.add([(gap(), Priority.GAP)])
    queue.claim(NOW_MS)
    queue.done(gap())
    assert queue.failures() == {}


def test_everything_in_it_can_be_listed(queue: BackfillQueue) -> None:
    queue.add([(gap("A-USD"), Priority.GAP), (gap("B-USD"), Priority.START)])
    queue.add([(gap("C-USD"), Priority.GAP)], not_before_ms=NOW_MS + 1)
    queue.claim(NOW_MS)
    assert queue.pending() == {gap("A-USD"), gap("B-USD"), gap("C-USD")}
    assert queue.state() == (1, 1, 0, 1)


# The record of a request, and for how long it is kept.


def taken(queue: BackfillQueue, request: BackfillRequest | None = None) -> BackfillRequest:
    """A claimed request."""
    queue.add([(request or gap(), Priority.GAP)])
    assert queue.claim(NOW_MS) == (request or gap())
    return request or gap()


def now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def due_ms(client: redis.Redis, part: str) -> int:
    """When the entry of this part of the queue is due."""
    ((_, until_ms),) = client.zrange(f"cw:2:backfill:coinbase:{part}", 0, -1, withscores=True)
    return int(until_ms)


def test_a_lease_is_longer_than_a_request_takes_and_a_retry_waits(
    queue: BackfillQueue, redis_client: redis.Redis
) -> None:
    began_ms = now_ms(redis_client)
    request = taken(queue)
    assert due_ms(redis_client, "leased") - began_ms >= 29_000
    assert due_ms(redis_client, "leased") - now_ms(redis_client) <= 31_000
    queue.retry(request, 20.0)
    assert due_ms(redis_client, "delayed") - began_ms >= 19_000
    assert due_ms(redis_client, "delayed") - now_ms(redis_client) <= 21_000


def test_no_request_waits_more_than_15_minutes_behind_more_urgent_ones() -> None:
    assert urgency(max(Priority), D1) * module.STEP_MS < 900_000


def test_a_ready_request_does_not_settle_but_a_settling_one_can_become_ready(queue: BackfillQueue) -> None:
    queue.add([(gap(), Priority.GAP)])
    queue.add([(gap(), Priority.GAP)], not_before_ms=NOW_MS + 9)
    assert queue.state() == (1, 0, 0, 0)
    queue.add([(gap("ETH-USD"), Priority.GAP)], not_before_ms=NOW_MS + 9)
    queue.add([(gap("ETH-USD"), Priority.GAP)])
    assert queue.state() == (2, 0, 0, 0)


def test_of_two_times_at_which_it_settles_the_earlier_counts(queue: BackfillQueue) -> None:
    for ms in (5, 9):
        queue.add([(gap(), Priority.GAP)], not_before_ms=NOW_MS + ms)
    assert queue.claim(NOW_MS + 5) == gap()
    queue.add([(gap(), Priority.GAP)], not_before_ms=NOW_MS + 7)
    queue.settle(gap(), NOW_MS + 9)
    assert queue.claim(NOW_MS + 7) == gap()


def test_the_most_urgent_reason_counts_until_it_is_done(queue: BackfillQueue) -> None:
    queue.add([(gap("A-USD"), Priority.GAP), (gap("B-USD"), Priority.START)])
    queue.add([(gap("A-USD"), Priority.RECONCILE)])
    assert queue.priorities() == {gap("A-USD"): Priority.GAP, gap("B-USD"): Priority.START}
    assert claim_all(queue) == [gap("A-USD"), gap("B-USD")]
    queue.done(gap("A-USD"))
    queue.settle(gap("B-USD"), NOW_MS, Priority.HISTORY)
    assert queue.priorities() == {gap("B-USD"): Priority.HISTORY}


@pytest.mark.parametrize("not_before_ms", [None, NOW_MS])
def test_a_claimed_request_that_is_added_again_keeps_its_urgency(
    queue: BackfillQueue, not_before_ms: int | None
) -> None:
    request = taken(queue)
    queue.add([(request, Priority.GAP)], not_before_ms=not_before_ms)
    queue.done(request)
    assert queue.priorities() == {request: Priority.GAP}


def test_a_claimed_request_that_is_delayed_keeps_its_urgency(queue: BackfillQueue) -> None:
    request = taken(queue)
    queue.add([(request, Priority.GAP)])
    assert queue.claim(NOW_MS) is None
    queue.done(request)
    assert (queue.state(), queue.priorities()) == ((0, 0, 1, 0), {request: Priority.GAP})


def test_requests_come_back_by_urgency(queue: BackfillQueue) -> None:
    queue.add([(gap("A-USD"), Priority.HISTORY), (gap("B-USD"), Priority.GAP)], not_before_ms=NOW_MS)
    assert claim_all(queue) == [gap("B-USD"), gap("A-USD")]


def test_without_a_response_tries_are_kept_and_with_one_they_are_not(queue: BackfillQueue) -> None:
    request = taken(queue)
    queue.retry(request, 0)
    assert eventually(lambda: queue.claim(NOW_MS)) == request
    queue.postpone(request, NOW_MS + 5)
    assert (queue.attempts(request), queue.state()) == (1, (0, 1, 0, 0))
    assert queue.claim(NOW_MS + 5) == request
    queue.settle(request, NOW_MS + 5)
    assert queue.attempts(request) == 0


def test_an_uncovered_request_is_kept_until_it_is_done_or_due(queue: BackfillQueue) -> None:
    ranges = (Uncovered(300, 600, 1.0, 2), Uncovered(900, 900, 2.0, 1))
    request = taken(queue)
    for end in (lambda: queue.done(request), lambda: queue.add([(request, Priority.GAP)], anew=True)):
        queue.note_uncovered(request, ranges)
        queue.add([(request, Priority.GAP)])
        assert queue.uncovered([request, gap("ETH-USD")]) == [ranges, ()]
        end()
        assert queue.uncovered([request]) == [()]
    queue.note_uncovered(request, ranges)
    queue.note_uncovered(request, ())
    assert queue.uncovered([request]) == [()]


@pytest.mark.parametrize("part", ["delayed", "leased"])
def test_a_time_from_before_the_clock_was_set_back_keeps_nothing(
    queue: BackfillQueue, redis_client: redis.Redis, part: str
) -> None:
    ahead_ms = (int(redis_client.time()[0]) + 700) * 1000
    redis_client.zadd(f"cw:2:backfill:coinbase:{part}", {str(gap()): ahead_ms})
    assert queue.claim(NOW_MS) == gap()


def test_an_invalid_entry_is_removed(queue: BackfillQueue, redis_client: redis.Redis) -> None:
    redis_client.zadd("cw:2:backfill:coinbase:ready", {"gap|nonsense": 1})
    assert queue.claim(NOW_MS) is None
    assert queue.state().total == 0


def test_tries_ranges_and_failures_of_a_product_that_is_not_followed_go_together(
    queue: BackfillQueue, redis_client: redis.Redis
) -> None:
    for product in ("OLD-USD", "BTC-USD"):
        queue.retry(taken(queue, gap(product, M5)), 0)
        queue.note_uncovered(gap(product), (Uncovered(300, 600, 1.0, 2),))
        queue.fail(gap(product, D1), "why", NOW_MS)
    assert queue.forget({"BTC-USD"}) == 3
    for part in ("attempts", "uncovered", "failures"):
        (kept,) = redis_client.hkeys(f"cw:2:backfill:coinbase:{part}")
        assert b"BTC-USD" in kept

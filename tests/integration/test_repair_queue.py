"""The repair queue on a real Redis."""

from __future__ import annotations

import pytest
import redis

from app.repair import queue as module
from app.repair.needs import Asked
from app.repair.queue import Kind, RepairQueue, Request, Why, urgency
from app.timeframes import Timeframe
from tests.support import eventually

pytestmark = pytest.mark.integration

M1, M5, D1 = Timeframe.M1, Timeframe.M5, Timeframe.D1
NOW_MS = 1_700_000_000_000


def gap(product: str = "BTC-USD", timeframe: Timeframe = M5) -> Request:
    return Request(Kind.GAP, product, timeframe)


@pytest.fixture
def queue(redis_client: redis.Redis) -> RepairQueue:
    return RepairQueue(redis_client, "coinbase")


def claim_all(queue: RepairQueue, exchange_ms: int = NOW_MS) -> list[Request]:
    claimed = []
    while request := queue.claim(exchange_ms):
        claimed.append(request)
    return claimed


def test_short_timeframes_first_then_the_start_then_history_then_reconciliation(queue: RepairQueue) -> None:
    queue.add([(Request(Kind.RECONCILE, "BTC-USD", M5), Why.RECONCILE)])
    queue.add([(gap("OLD-USD"), Why.HISTORY)])
    queue.add([(gap("NEW-USD", D1), Why.START), (gap("NEW-USD", M1), Why.START)])
    queue.add([(gap("BTC-USD", D1), Why.GAP), (gap("BTC-USD", M5), Why.GAP)])
    assert claim_all(queue) == [
        gap("BTC-USD", M5),
        gap("BTC-USD", D1),
        gap("NEW-USD", M1),
        gap("NEW-USD", D1),
        gap("OLD-USD", M5),
        Request(Kind.RECONCILE, "BTC-USD", M5),
    ]


def test_whatever_waited_long_enough_comes_before_what_is_urgent(queue: RepairQueue, redis_client: redis.Redis) -> None:
    old = Request(Kind.RECONCILE, "BTC-USD", M5)
    queue.add([(old, Why.RECONCILE)])
    waited_ms = (urgency(Why.RECONCILE, M5) + 1) * module.STEP_MS
    redis_client.zincrby("cw:1:backfill:coinbase:ready", -waited_ms, str(old))
    queue.add([(gap(timeframe=M1), Why.GAP)])
    assert claim_all(queue) == [old, gap(timeframe=M1)]


def test_a_request_stands_in_it_once_at_its_most_urgent_place(queue: RepairQueue) -> None:
    queue.add([(gap("A-USD"), Why.START), (gap("B-USD"), Why.GAP)])
    queue.add([(gap("A-USD"), Why.START)] * 3, not_before_ms=NOW_MS + 1)
    queue.add([(gap("A-USD", M5), Why.GAP)])
    assert queue.state().total == 2
    assert set(claim_all(queue)) == {gap("A-USD"), gap("B-USD")}


def test_settling_is_waited_for_on_the_exchanges_clock(queue: RepairQueue) -> None:
    queue.add([(gap(), Why.GAP)], not_before_ms=NOW_MS + 5)
    assert queue.claim(NOW_MS + 4) is None
    assert queue.claim(NOW_MS + 5) == gap()


def test_a_request_is_worked_on_by_one_at_a_time(queue: RepairQueue) -> None:
    queue.add([(gap(), Why.GAP)])
    assert queue.claim(NOW_MS) == gap()
    queue.add([(gap(), Why.GAP)])
    assert queue.claim(NOW_MS) is None
    queue.done(gap())
    assert eventually(lambda: queue.claim(NOW_MS)) == gap(), "asked for again while it was under way: looked at again"


def test_the_request_of_a_worker_that_died_comes_back(queue: RepairQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.05)
    queue.add([(gap(), Why.GAP)])
    assert queue.claim(NOW_MS) == gap()
    assert eventually(lambda: queue.claim(NOW_MS)) == gap()


def test_tries_are_counted_until_it_is_done(queue: RepairQueue) -> None:
    queue.add([(gap(), Why.GAP)])
    for expected in (1, 2):
        eventually(lambda: queue.claim(NOW_MS))
        assert queue.retry(gap(), 0.0) == expected == queue.attempts(gap())
    eventually(lambda: queue.claim(NOW_MS))
    queue.done(gap())
    assert queue.attempts(gap()) == 0
    assert queue.state().total == 0


def test_tries_outlive_a_budget_without_a_permit(queue: RepairQueue) -> None:
    """Nothing was requested then, so a product that is always refused is given up although the budget is busy."""
    queue.add([(gap(), Why.GAP)])
    for tries in (1, 2, 3):
        assert eventually(lambda: queue.claim(NOW_MS)) == gap()
        queue.postpone(gap(), NOW_MS)
        assert queue.claim(NOW_MS) == gap()
        assert queue.retry(gap(), 0.0) == tries
    assert eventually(lambda: queue.claim(NOW_MS)) == gap()
    queue.settle(gap(), NOW_MS)
    assert queue.attempts(gap()) == 0, "there was a response"


def test_what_was_postponed_waits_on_the_exchanges_clock(queue: RepairQueue) -> None:
    queue.add([(gap(), Why.GAP)])
    queue.claim(NOW_MS)
    queue.postpone(gap(), NOW_MS + 5)
    assert queue.claim(NOW_MS + 4) is None
    assert queue.claim(NOW_MS + 5) == gap()


def test_what_is_left_may_be_less_urgent_than_what_was_requested(queue: RepairQueue) -> None:
    queue.add([(gap("A-USD"), Why.GAP), (gap("B-USD"), Why.HISTORY)])
    queue.claim(NOW_MS)
    queue.settle(gap("A-USD"), NOW_MS, Why.HISTORY)
    assert queue.whys()[gap("A-USD")] is Why.HISTORY
    assert set(claim_all(queue)) == {gap("B-USD"), gap("A-USD")}


IN_VAIN = (Asked(NOW_MS // 1000, NOW_MS // 1000 + 300, 7.5, 1), Asked(NOW_MS // 1000 + 900, NOW_MS // 1000 + 900, 9, 2))


def test_what_was_requested_in_vain_is_kept_until_it_is_there_or_due_anew(queue: RepairQueue) -> None:
    queue.note_asked(gap(), IN_VAIN)
    assert queue.asked([gap(), gap("ETH-USD")]) == [IN_VAIN, ()]
    queue.add([(gap(), Why.GAP)])
    queue.claim(NOW_MS)
    queue.settle(gap(), NOW_MS + 1)
    assert queue.asked([gap()]) == [IN_VAIN]
    queue.add([(gap(), Why.GAP)], anew=True)
    assert queue.asked([gap()]) == [()], "the stream has broken: what was said before does not count"
    queue.note_asked(gap(), IN_VAIN)
    queue.done(gap())
    assert queue.asked([gap()]) == [()]
    queue.note_asked(gap(), IN_VAIN)
    queue.note_asked(gap(), ())
    assert queue.asked([gap()]) == [()]


def test_of_products_that_are_no_longer_followed_nothing_is_kept(queue: RepairQueue) -> None:
    """Their failures would stay on record, and alarm, for ever."""
    for product in ("BTC-USD", "GONE-USD"):
        queue.add([(gap(product), Why.GAP), (gap(product, D1), Why.GAP)])
        queue.note_asked(gap(product), IN_VAIN)
    for request in claim_all(queue):
        if request.timeframe is D1:
            queue.retry(request, 60)
        else:
            queue.fail(request, "404", NOW_MS)
    assert queue.forget({"BTC-USD"}) == 3
    assert set(queue.failures()) == {gap()}
    assert queue.asked([gap(), gap("GONE-USD")]) == [IN_VAIN, ()]
    assert (queue.attempts(gap(timeframe=D1)), queue.attempts(gap("GONE-USD", D1))) == (1, 0)
    assert queue.forget({"BTC-USD"}) == 0


def test_what_was_given_up_is_on_record_until_it_is_done(queue: RepairQueue) -> None:
    queue.add([(gap(), Why.GAP)])
    queue.claim(NOW_MS)
    queue.fail(gap(), "no such product", NOW_MS)
    assert queue.failures() == {gap(): {"reason": "no such product", "exchange_ms": NOW_MS}}
    assert queue.state().total == 0
    queue.add([(gap(), Why.GAP)])
    queue.claim(NOW_MS)
    queue.done(gap())
    assert queue.failures() == {}


def test_everything_in_it_can_be_listed(queue: RepairQueue) -> None:
    queue.add([(gap("A-USD"), Why.GAP), (gap("B-USD"), Why.START)])
    queue.add([(gap("C-USD"), Why.GAP)], not_before_ms=NOW_MS + 1)
    queue.claim(NOW_MS)
    assert queue.pending() == {gap("A-USD"), gap("B-USD"), gap("C-USD")}
    assert queue.state() == (1, 1, 0, 1)

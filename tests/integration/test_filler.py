"""Processing of a REST response, or of a failure: in a real Redis, with pages made by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis

from app.backfill.filler import TRIES, Filler
from app.context import Context
from app.errors import ExchangeError, Refused, Throttled, Unavailable
from app.exchange.adapter import Page
from app.market.candles import CandleState, UnifiedCandle
from app.market.records import PROVISIONAL, Records
from app.market.timeframes import BASE, Timeframe
from app.settings import Settings
from app.storage import keys, mismatches
from app.storage.changed_ranges import ChangedRange
from app.storage.model import Origin, Outcome, Write, Written
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.requests import PageRequest
from app.storage.trust import StreamTrust
from tests.build import B0, STEP, candle, records, run, series

pytestmark = pytest.mark.integration

GAP, RECONCILE = (BackfillRequest(kind, "BTC-USD", BASE) for kind in (Kind.GAP, Kind.RECONCILE))
CLOSED, CONFIRMED = CandleState.CLOSED, CandleState.CONFIRMED


def start(bucket: int) -> int:
    return B0 + bucket * STEP


def at(bucket: int, seconds: float = 0.0) -> int:
    return int((start(bucket) + seconds) * 1000)


class Permit:
    """A permit whose request returns `rows`."""

    def __init__(self, rows: list[UnifiedCandle]) -> None:
        self._rows = rows
        self.reasons: list[str] = []

    def request(self, reason: str, _: Callable[[Any], Page]) -> Page:
        self.reasons.append(reason)
        return Page.between_rows(self._rows, STEP)


class Worker:
    """A filler and its announced changes."""

    def __init__(self, client: redis.Redis) -> None:
        self.context = Context(Settings(), client)
        self.announced: list[ChangedRange] = []
        self.filler = Filler(self.context, self.context.settings, self.announced.extend)

    def hold(self, rows: Records, timeframe: Timeframe = BASE) -> None:
        origin = Origin.given(int(rows["start_s"][0]))
        self.context.candles.write([Write(series(timeframe=timeframe), rows, origin)], announce=False)

    def work(self, request: BackfillRequest, first: int, last: int, now_ms: int, *rows: UnifiedCandle) -> str:
        """Returns the reason under which the request was counted."""
        permit = Permit(list(rows))
        need = PageRequest(BASE, start(first), start(last), not self.held(0, 0).revision)
        self.filler.work(request, need, now_ms, permit)  # type: ignore[arg-type]
        return permit.reasons[0]

    def held(self, first: int, last: int) -> Any:
        return self.context.candles.read(series(), start(first), start(last))

    def provisional(self, last: int) -> list[int]:
        records = self.held(0, last).records
        return [(int(r["start_s"]) - B0) // STEP for r in records if r["flags"] & PROVISIONAL]

    def claimed(self, request: BackfillRequest = GAP) -> BackfillRequest:
        self.context.queue.add([(request, Priority.GAP)])
        assert self.context.queue.claim(0) == request
        return request

    @property
    def events(self) -> int:
        return int(self.context.redis.xlen(keys.EVENTS))


@pytest.fixture
def worker(redis_client: redis.Redis) -> Worker:
    return Worker(redis_client)


def rows(first: int, count: int) -> list[UnifiedCandle]:
    """Rows of REST for the candles of `run(start(first), …)`."""
    return [candle(start(first + i), close=10.0 + i % 7) for i in range(count)]


# Failures.


def test_a_request_is_given_up_after_eight_failures_in_a_row(worker: Worker) -> None:
    queue, request = worker.context.queue, worker.claimed()
    for _ in range(TRIES - 1):
        worker.filler.failed(request, Unavailable("away"), at(9))
    assert (queue.failures(), queue.state().delayed, queue.attempts(request)) == ({}, 1, 7)
    assert queue.claim(at(9)) is None, "it is not tried again at once"
    worker.filler.failed(request, Unavailable("away"), at(9))
    assert queue.failures() == {request: {"reason": "away (8 tries)", "exchange_ms": at(9)}}
    assert TRIES == 8


@pytest.mark.parametrize(("error", "is_given_up"), [(Refused("404"), True), (Throttled("429", 1.0), False)])
def test_a_refusal_gives_up_and_a_rate_limit_costs_no_try(
    worker: Worker, error: ExchangeError, is_given_up: bool
) -> None:
    queue, request = worker.context.queue, worker.claimed()
    worker.filler.failed(request, Unavailable("away"), at(9))
    worker.filler.failed(request, error, at(9))
    assert bool(queue.failures()) is is_given_up
    assert queue.attempts(request) == (0 if is_given_up else 1)
    assert queue.state().settling == (0 if is_given_up else 1)


# Announcements.


def test_a_first_page_and_history_are_not_announced_and_a_gap_is(worker: Worker) -> None:
    assert worker.work(GAP, 10, 20, at(20, 100), *rows(10, 11)) == "start"
    assert worker.events == 0
    assert worker.work(GAP, 5, 10, at(20, 100), *rows(5, 5), rows(10, 1)[0]) == "gap"
    assert worker.events == 0, "all of it lies before the first trade"
    assert worker.work(GAP, 18, 25, at(25, 100), *rows(10, 16)[8:]) == "gap"
    assert worker.events > 0
    assert worker.announced[0] == ChangedRange("BTC-USD", BASE, start(10), start(19))
    assert worker.announced[-1].last_s == start(24)


# Contradictions.


def test_a_contradiction_changes_nothing_and_is_requested_again(worker: Worker) -> None:
    worker.hold(run(B0, 10))
    before = worker.held(0, 9).records["close"].tolist()
    with pytest.raises(Unavailable, match="contradicts 2 known candles"):
        worker.work(RECONCILE, 0, 9, at(11), *rows(0, 3), *[c for c in rows(0, 10) if c.start_s > start(4)])
    assert worker.held(0, 9).records["close"].tolist() == before
    assert worker.provisional(9) == [3, 4]
    assert len(worker.context.disputes.read(series())) == 2
    assert worker.context.queue.claim(at(11)) == GAP
    assert {(t.product, t.timeframe) for t in worker.announced} == {(GAP.product, GAP.timeframe)}, "the value says so"


def test_after_a_second_response_a_contradiction_waits_like_an_uncovered_bucket(worker: Worker) -> None:
    worker.hold(run(B0, 14))
    worker.context.queue.add([(GAP, Priority.GAP)])
    answer = [c for c in rows(0, 10) if c.start_s != start(4)]
    request = worker.claimed()
    with pytest.raises(Unavailable) as error:
        worker.work(request, 0, 9, at(11), *answer)
    worker.filler.failed(request, error.value, at(11))
    request = worker.context.queue.claim(at(12))
    assert request == GAP
    other = [c for c in rows(0, 10) if c.start_s != start(6)]
    worker.work(request, 0, 9, at(12), *other)
    assert worker.provisional(9) == [4, 6]
    ((uncovered,),) = worker.context.queue.uncovered([GAP])
    assert (uncovered.first_s, uncovered.last_s, uncovered.due_s) == (start(4), start(6), at(13) / 1000)


def test_two_agreeing_responses_correct_and_mark_candles_before_the_page(worker: Worker) -> None:
    behind = run(B0, 40)[30:]
    behind["observed_ms"] += 900_001  # from another server
    worker.hold(np.concatenate([run(B0, 30), behind]))
    answer = [c for c in rows(0, 30) if c.start_s >= start(10) and c.start_s != start(11)]
    with pytest.raises(Unavailable):
        worker.work(RECONCILE, 10, 29, at(41), *answer)
    worker.context.queue.claim(at(41))
    worker.work(RECONCILE, 10, 29, at(45), *answer)
    assert worker.provisional(39) == list(range(10)), "before the page, and not behind it"
    assert len(worker.context.disputes.read(series())) == 0
    (row,) = mismatches.latest(worker.context.redis)
    assert (row["start"], row["cause"]) == (start(11), "reconcile")


# The rest of a request.


def test_an_uncovered_bucket_waits_for_its_time(worker: Worker) -> None:
    worker.hold(run(B0, 5))
    request = worker.claimed()
    worker.work(request, 4, 9, at(9, 100), rows(0, 5)[4])
    worker.filler.release(request, at(9, 100))
    assert worker.context.queue.state().settling == 1
    assert worker.context.queue.claim(at(9, 100) + 299_999) is None
    assert worker.context.queue.claim(at(9, 100) + 300_000) == request


def test_a_series_that_was_never_requested_is_not_reconciled(worker: Worker) -> None:
    assert worker.filler.next_page(RECONCILE, at(11)) is None
    worker.hold(run(B0, 10))
    assert worker.filler.next_page(RECONCILE, at(11)) is not None


def test_a_reconciliation_records_no_uncovered_buckets(worker: Worker) -> None:
    worker.hold(run(B0, 5))
    request = worker.claimed(RECONCILE)
    worker.work(request, 0, 9, at(9, 100), *rows(0, 5))
    assert worker.context.queue.uncovered([GAP, RECONCILE]) == [(), ()]
    worker.filler.release(request, at(9, 100))
    assert worker.context.queue.state().total == 0


def test_a_request_with_nothing_left_is_done(worker: Worker) -> None:
    worker.hold(run(start(-1_000), 1_010))
    request = worker.claimed()
    worker.filler.release(request, at(10, 61))
    assert worker.context.queue.state().total == 0


def test_the_rest_of_a_series_without_history_is_history(worker: Worker) -> None:
    worker.hold(run(B0, 10))
    worker.context.redis.delete(keys.candles(series()))
    worker.context.candles.write([Write(series(), run(B0, 10))], announce=False)
    request = worker.claimed()
    worker.filler.release(request, at(10, 1))
    assert worker.context.queue.priorities() == {request: Priority.HISTORY}


def test_several_buckets_of_a_shorter_timeframe_are_requested_at_once(worker: Worker) -> None:
    minute = BackfillRequest(Kind.GAP, "BTC-USD", Timeframe.M1)
    held = run(B0 - 60_000, 1_007, step=60)
    held["flags"][-1] |= PROVISIONAL
    worker.hold(held, Timeframe.M1)
    worker.claimed(minute)
    worker.filler.release(minute, (B0 + 425) * 1000)
    assert worker.context.queue.state().settling == 1
    assert not any(worker.filler.next_page(minute, now_s * 1000) for now_s in range(B0 + 425, B0 + 602))
    assert worker.filler.next_page(minute, (B0 + 602) * 1000)


# Trust in the stream.


def written(outcome: Outcome, before: Records | None, count: int = 1) -> list[Written]:
    befores = {} if before is None else dict.fromkeys(range(count), before)
    return [Written(series(), run(B0, count), [outcome] * count, befores)]


def test_a_stream_that_was_wrong_is_trusted_again_after_a_hundred_right_closes(redis_client: redis.Redis) -> None:
    trust = StreamTrust(redis_client, "coinbase")
    assert trust.is_given
    trust.learn(written(Outcome.CORRECTED, records((B0, CLOSED))))
    for outcome in (Outcome.CONFIRMED, Outcome.RESOLVED):
        assert not trust.is_given
        trust.learn(written(outcome, None, 49))
    trust.learn(written(Outcome.CONFIRMED, None, 1))
    assert not trust.is_given
    trust.learn(written(Outcome.CONFIRMED, None, 1))
    assert trust.is_given


def test_corrections_of_provisional_or_confirmed_candles_cost_no_trust(redis_client: redis.Redis) -> None:
    trust, provisional = StreamTrust(redis_client, "coinbase"), records((B0, CLOSED))
    provisional["flags"] |= np.uint32(PROVISIONAL)
    for before in (provisional, records((B0, CONFIRMED))):
        trust.learn(written(Outcome.CORRECTED, before))
        assert trust.is_given


def test_only_the_timeframe_of_the_stream_counts_for_its_trust(worker: Worker) -> None:
    worker.hold(run(B0, 10, CLOSED))
    worker.work(RECONCILE, 0, 9, at(11), *[c.model_copy(update={"volume": 2.0}) for c in rows(0, 10)])
    assert not worker.context.trust.is_given

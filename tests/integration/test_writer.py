"""The ingest process's writes of feed events, and its requests to REST, in a real Redis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import redis

from app.context import Context
from app.exchange.adapter import CandleClosed, GapSuspected
from app.ingest.outbox import Batch
from app.ingest.writer import Writer
from app.market.candles import CandleState, UnifiedCandle
from app.market.records import PROVISIONAL, state_of
from app.market.timeframes import BASE
from app.storage import keys, mismatches
from app.storage.model import Write
from app.storage.queue import BackfillRequest, Kind
from app.storage.requests import Uncovered
from app.tasks import Tasks
from tests import filled
from tests.build import B0, STEP, candle, records, run, series
from tests.support import PATIENCE_S

pytestmark = pytest.mark.integration

GAP = BackfillRequest(Kind.GAP, "BTC-USD", BASE)
INDICATORS, BACKFILL = "cw:2:celery:indicators", "cw:2:celery:backfill"
SETTLES_MS = (B0 + STEP + 60) * 1000


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str, tasks: Tasks) -> Context:
    context = Context(filled.settings(redis_url), redis_client)
    context.tasks = tasks
    return context


def writer_of(context: Context, top_up: Callable[[Batch], None] = lambda _: None) -> Writer:
    return Writer(context, context.tasks, context.settings.settling_seconds, top_up)


def closed(*candles: UnifiedCandle, provisional: bool = False, exchange_ms: int = 0) -> Batch:
    return Batch(
        closed={(c.product, c.start_s): CandleClosed(c, provisional) for c in candles}, exchange_ms=exchange_ms
    )


def gap(first: int, last: int, *, settled_only: bool = False) -> GapSuspected:
    return GapSuspected("BTC-USD", BASE, B0 + first * STEP, B0 + last * STEP, "why", settled_only)


def flags(context: Context, count: int = 9) -> list[int]:
    return [int(f) for f in context.candles.read(series(), B0, B0 + count * STEP).records["flags"]]


def test_a_close_of_an_unbroken_stream_is_written_announced_and_computed_and_nothing_is_requested(
    context: Context,
) -> None:
    batch = closed(candle(), exchange_ms=SETTLES_MS)
    writer_of(context).write(batch)
    assert flags(context) == [CandleState.CLOSED]
    assert (context.redis.xlen(keys.EVENTS), context.redis.llen(INDICATORS)) == (1, 1)
    assert (context.queue.state().total, context.redis.llen(BACKFILL)) == (0, 0)
    clock = context.clock.read()
    assert clock is not None
    assert clock.exchange_ms == SETTLES_MS
    assert not batch.closed


@pytest.mark.parametrize("trusted", [True, False])
def test_provisional_closes_and_all_of_a_distrusted_stream_are_requested_once_settled(
    context: Context, trusted: bool
) -> None:
    if not trusted:
        context.redis.set(keys.trust("coinbase"), 7)
    writer_of(context).write(closed(candle(), candle(B0 + STEP), provisional=trusted))
    assert flags(context) == [CandleState.CLOSED | PROVISIONAL] * 2
    assert context.queue.claim(SETTLES_MS - 1) is None
    assert context.queue.claim(SETTLES_MS) == GAP, "as soon as the first of them has"


def test_only_the_provisional_ones_of_a_batch_are_marked(context: Context) -> None:
    batch = closed(candle(), candle(product="ETH-USD"))
    batch.closed["BTC-USD", B0] = CandleClosed(candle(), provisional=True)
    writer_of(context).write(batch)
    assert flags(context) == [CandleState.CLOSED | PROVISIONAL]
    assert context.candles.read(series("ETH-USD"), B0, B0).records["flags"].tolist() == [CandleState.CLOSED]
    assert context.queue.pending() == {GAP}


def test_the_queue_is_drained_when_a_request_in_it_has_settled(context: Context) -> None:
    writer = writer_of(context)
    writer.write(closed(candle(), provisional=True))
    writer.write(Batch(exchange_ms=SETTLES_MS - 1))
    assert context.redis.llen(BACKFILL) == 0
    writer.write(Batch(exchange_ms=SETTLES_MS))
    writer.write(Batch(exchange_ms=SETTLES_MS + 9))
    assert context.redis.llen(BACKFILL) == 1


def test_silence_is_noted_and_requested_when_its_first_bucket_has_settled(context: Context) -> None:
    writer_of(context).write(Batch(quiet={"BTC-USD": [gap(2, 3, settled_only=True), gap(0, 0, settled_only=True)]}))
    view = context.candles.read(series(), B0, B0 + 9 * STEP)
    assert view.silent_s == (B0, B0 + 2 * STEP, B0 + 3 * STEP)
    assert not len(view.records)
    assert context.redis.xlen(keys.EVENTS) == 0
    assert context.queue.claim(SETTLES_MS - 1) is None
    assert context.queue.claim(SETTLES_MS) == GAP


def test_a_gap_is_requested_at_once_and_its_closes_are_provisional(
    context: Context,
) -> None:
    context.candles.write([Write(series(), run(B0, 3, CandleState.CLOSED))])
    context.queue.note_uncovered(GAP, (Uncovered(B0, B0, 1.0, 3),))
    writer_of(context).write(Batch(gaps={"BTC-USD": gap(1, 4)}))
    assert flags(context) == [CandleState.CLOSED, CandleState.CLOSED | PROVISIONAL, CandleState.CLOSED | PROVISIONAL]
    assert context.queue.uncovered([GAP]) == [()]
    assert context.queue.claim(0) == GAP
    assert context.redis.llen(BACKFILL) == 1


def test_a_close_that_contradicts_a_confirmed_candle_is_compared_with_rest(context: Context) -> None:
    context.candles.write([Write(series(), run(B0, 1))])
    writer_of(context).write(closed(candle(close=10.5)))
    assert context.queue.pending() == {BackfillRequest(Kind.RECONCILE, "BTC-USD", BASE)}
    assert context.candles.read(series(), B0, B0).records["close"].tolist() == [10.0]


def test_a_revision_of_the_exchange_is_on_record(context: Context) -> None:
    writer = writer_of(context)
    writer.write(closed(candle()))
    writer.write(closed(candle(close=10.5, observed_ms=9), exchange_ms=77))
    (row,) = mismatches.latest(context.redis)
    assert (row["cause"], row["fields"], row["exchange_ms"]) == ("revision", ["close"], 77)
    assert context.queue.state().total == 0, "it is the stream's own word, and nothing else contradicts it"


def test_a_newer_forming_candle_is_shown_without_event(context: Context) -> None:
    context.candles.write([Write(series("ETH-USD"), records((B0, CandleState.CLOSED)))], announce=False)
    forming = {p: candle(product=p, state=CandleState.FORMING) for p in ("BTC-USD", "ETH-USD")}
    with context.redis.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(keys.forming_channel("coinbase"))
        listener.get_message(timeout=PATIENCE_S)
        writer_of(context).write(Batch(forming=forming))
        message = listener.get_message(timeout=PATIENCE_S)
    assert message is not None
    assert b"BTC-USD" in message["data"]
    assert b"ETH-USD" not in message["data"]
    assert context.redis.xlen(keys.EVENTS) == 0
    assert state_of(context.candles.read(series(), B0, B0).records).tolist() == [CandleState.FORMING]


def test_a_refusal_is_stored_once(context: Context) -> None:
    filled.fill(context)
    batch = Batch(refused={"SOL-USD": "why"})
    writer_of(context).write(batch)
    assert "SOL-USD" not in context.products.delivered()
    assert batch == Batch()


def test_closes_during_a_write_are_written_with_the_batch(context: Context) -> None:
    later = {("ETH-USD", B0): CandleClosed(candle(product="ETH-USD"))}

    def top_up(batch: Batch) -> None:
        batch.closed.update(later)
        later.clear()

    writer_of(context, top_up).write(closed(candle()))
    assert np.array_equal(context.candles.read(series("ETH-USD"), B0, B0).records["start_s"], [B0])
    assert context.redis.llen(INDICATORS) == 1

"""One worker's turns at the backfill queue: its source of time, and the outcome of each request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from app.backfill.drain import Drain
from app.context import Context
from app.exchange.adapter import Page
from app.exchange.coinbase.rest import CoinbaseRest
from app.market.timeframes import BASE, Timeframe
from app.settings import Settings
from app.storage import keys
from app.storage.model import Origin, Write
from app.storage.queue import BackfillRequest, Kind, Priority
from app.util.stop import Stop
from simulator import LocalExchange, SeededMarket
from tests.build import run, series
from tests.support import PATIENCE_S

pytestmark = pytest.mark.integration

START_S = 1_700_006_400
GAP = BackfillRequest(Kind.GAP, "BTC-USD", BASE)
HOUR_MS = 3_600_000


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    market = SeededMarket(7, start_s=START_S - 30 * BASE.seconds)
    with LocalExchange(market, speed=0, start_ms=START_S * 1000 + 90_000, requests_per_second=1_000) as exchange:
        yield exchange


@pytest.fixture
def context(redis_client: redis.Redis, exchange: LocalExchange) -> Context:
    seconds, micros = redis_client.time()
    redis_client.hset(f"{keys.BUDGET}:coinbase", "seen_us", int(seconds) * 1_000_000 + int(micros))
    return Context(Settings(coinbase={"rest_url": exchange.rest_url, "rest_requests_per_second": 30}), redis_client)


def set_clock(context: Context, exchange: LocalExchange, age_ms: int = 0) -> None:
    """Set the exchange's clock as received `age_ms` ago."""
    context.clock.set(exchange.clock.now_ms())
    context.redis.hincrby(keys.clock("coinbase"), "received_ms", -age_ms)


def drained(context: Context, stop: Stop | None = None) -> int:
    return Drain(context, context.settings, context.budgeted_rest, lambda _: None).run(max_s=PATIENCE_S, stop=stop)


@pytest.mark.parametrize(("age_ms", "is_old"), [(0, False), (4_000, False), (11_000, True)])
def test_a_clock_older_than_ten_seconds_is_requested(
    context: Context, exchange: LocalExchange, age_ms: int, is_old: bool
) -> None:
    set_clock(context, exchange, age_ms)
    context.queue.add([(GAP, Priority.GAP)], not_before_ms=exchange.clock.now_ms() + HOUR_MS)
    exchange.clock.jump(HOUR_MS)
    assert bool(drained(context)) is is_old
    clock = context.clock.read()
    assert clock is not None
    assert clock.exchange_ms == exchange.clock.now_ms() - HOUR_MS * (not is_old)


def test_while_nothing_waits_no_time_is_requested(context: Context) -> None:
    assert drained(context) == 0
    assert context.clock.read() is None
    assert context.budget.state().granted == 0


def test_a_request_is_released_with_its_rest(context: Context, exchange: LocalExchange) -> None:
    set_clock(context, exchange)
    exchange.inject("rest_empty", count=20)
    context.queue.add([(GAP, Priority.START)])
    assert drained(context) >= 1
    state = context.queue.state()
    assert (state.leased, state.ready, state.settling) == (0, 0, 1)
    assert context.queue.attempts(GAP) == 0


def test_a_request_that_needs_nothing_is_done(context: Context, exchange: LocalExchange) -> None:
    set_clock(context, exchange)
    newest_s = BASE.last_over(exchange.clock.now_ms() / 1000 - 2)
    held = run(newest_s - 999 * BASE.seconds, 1_000)
    context.candles.write([Write(series(), held, Origin.given(int(held["start_s"][0])))])
    context.queue.add([(GAP, Priority.GAP)])
    assert drained(context) == 0
    assert context.queue.state().total == 0
    assert context.budget.state().in_use == 0


def test_a_page_that_follows_is_requested_in_the_same_turn(
    context: Context, exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest page has no row: a survey follows, and then the page around the newest trades that it found."""
    requested: list[Timeframe] = []
    candles = CoinbaseRest.candles

    def noted(rest: CoinbaseRest, product: str, timeframe: Timeframe, *span: int) -> Page:
        requested.append(timeframe)
        return candles(rest, product, timeframe, *span)

    monkeypatch.setattr(CoinbaseRest, "candles", noted)
    exchange.clock.jump(7 * 24 * HOUR_MS)
    exchange.inject("rest_empty", count=1)
    set_clock(context, exchange)
    context.queue.add([(GAP, Priority.START)])
    assert drained(context) == len(requested)
    assert requested[:3] == [BASE, Timeframe.M15, BASE]


def test_without_a_permit_a_request_waits_for_the_next_turn(context: Context, exchange: LocalExchange) -> None:
    set_clock(context, exchange)
    context.budget.pause(60)
    context.queue.add([(GAP, Priority.START)])
    assert drained(context) == 0
    assert context.queue.pending() == {GAP}
    assert context.queue.state().leased == 0


def test_an_error_costs_a_try_and_no_other_request(context: Context, exchange: LocalExchange) -> None:
    set_clock(context, exchange)
    other = BackfillRequest(Kind.GAP, "ETH-USD", BASE)
    exchange.inject("rest_500", path="BTC-USD/candles", count=1_000)  # also at the next try, which may be soon
    context.queue.add([(GAP, Priority.GAP)])
    context.queue.add([(other, Priority.HISTORY)])
    assert drained(context) >= 2
    assert context.queue.attempts(GAP) >= 1
    assert context.queue.attempts(other) == 0
    assert context.candles.read_whole(series("ETH-USD"), BASE.bucket(START_S)).revision
    assert context.queue.state().leased == 0


def test_it_ends_at_stop(context: Context, exchange: LocalExchange) -> None:
    set_clock(context, exchange)
    stop = Stop()
    stop.set()
    context.queue.add([(GAP, Priority.START)])
    assert drained(context, stop) == 0
    assert context.queue.state().ready == 1

"""No REST response, however late, short, empty or delayed, ends a history or empties a traded bucket.

Real Redis, real REST over HTTP, and the work of a backfill worker and beat; the exchange's clock is set by hand. Judged
by the exchange: its candles in the buckets that a ring can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import redis

from app.backfill.drain import Drain
from app.backfill.filler import Filler
from app.backfill.scan import Scanner
from app.context import Context
from app.exchange.adapter import Page
from app.exchange.coinbase.rest import CoinbaseRest
from app.market.candles import CandleState, UnifiedCandle
from app.market.records import EMPTY, PROVISIONAL, STATE_MASK, to_records
from app.market.series import Series
from app.market.timeframes import BASE, Timeframe
from app.settings import Settings
from app.storage.budget import Budget
from app.storage.changed_ranges import ChangedRange
from app.storage.model import Origin, Write
from app.storage.products import FollowedProduct
from app.storage.queue import BackfillRequest, Kind, Priority
from simulator import LocalExchange, SeededMarket
from tests.support import PATIENCE_S

pytestmark = pytest.mark.integration

START_S = 1_700_006_400
BUSY, THIN = "BTC-USD", "FARM-USD"
STEP = BASE.seconds
CAPACITY = 1_000
MINUTE_MS = 60_000
FAST = 1_000
"""Requests per second: these tests are not about the budget."""

Rows = list[UnifiedCandle]


class Distorted:
    """REST whose pages pass through `distort` first; everything else is unchanged."""

    def __init__(self, rest: CoinbaseRest) -> None:
        self._rest = rest
        self.distort: Callable[[Rows], Rows] = lambda rows: rows
        self.pages = 0

    def candles(self, product: str, timeframe: Timeframe, first_s: int, last_s: int) -> Page:
        self.pages += 1
        page = self._rest.candles(product, timeframe, first_s, last_s)
        return Page.between_rows(self.distort(page.candles), timeframe.seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)


class Here(Context):
    """An installation of one series, whose scan and drain are called by hand."""

    def __init__(self, exchange: LocalExchange, client: redis.Redis, product: str) -> None:
        settings = Settings(coinbase={"rest_url": exchange.rest_url}, timeframes=("5m",))
        super().__init__(settings, client)
        self.budget = Budget(client, self.exchange, FAST)
        self.rest_seen = Distorted(CoinbaseRest(exchange.rest_url))
        self.market = exchange
        self.series = Series("coinbase", product, BASE)
        self.products.follow([FollowedProduct(product, product)])
        self.changed: list[ChangedRange] = []

    @property
    def rest(self) -> Any:
        return self.rest_seen

    def now_s(self) -> int:
        return self.market.clock.now_ms() // 1000

    def round(self) -> None:
        """One scan, and work until nothing is due."""
        self.clock.set(self.market.clock.now_ms())
        for found in Scanner(self, self.settings).scan(self.market.clock.now_ms()):
            if due := found.due:
                self.queue.add([(due.request, due.priority)], not_before_ms=due.not_before_ms)
        while self.queue.state().ready:
            Drain(self, self.settings, self.budgeted_rest, self.changed.extend).run(max_s=PATIENCE_S)

    def pass_time(self, minutes: float, every: int = 20) -> None:
        """Let time pass with a round every few minutes."""
        for _ in range(int(minutes / every)):
            self.market.clock.jump(every * MINUTE_MS)
            self.round()

    def reconcile(self) -> None:
        self.queue.add([(BackfillRequest(Kind.RECONCILE, self.series.product, BASE), Priority.RECONCILE)])
        self.round()

    def wrong(self) -> list[str]:
        """Differences from the exchange, of every settled bucket that the ring can hold."""
        settled_s = BASE.last_over(self.now_s() - self.settings.settling_seconds)
        first_s = settled_s - (CAPACITY - 3) * STEP
        records = self.candles.read_whole(self.series, BASE.last_over(self.now_s())).over
        held = {int(r["start_s"]): r for r in records}
        true = {
            int(row["start"]): row for row in self.market.truth(self.series.product, BASE, first_s, settled_s + STEP)
        }
        problems = [f"{s}: missing" for s in true if s not in held]
        for start_s, record in held.items():
            row, is_empty = true.get(start_s), bool(record["flags"] & EMPTY)
            if first_s <= start_s <= settled_s and (row is None) != is_empty:
                problems.append(f"{start_s}: {'empty' if is_empty else 'traded'}, and should not be")
            elif row is not None and float(row["close"]) != record["close"]:
                problems.append(f"{start_s}: another close")
        return problems

    def provisional(self) -> set[int]:
        """The settled buckets that are provisional."""
        settled_s = BASE.last_over(self.now_s() - self.settings.settling_seconds)
        records = self.candles.read_whole(self.series, settled_s).over
        return set(records["start_s"][records["flags"] & PROVISIONAL != 0].tolist())

    def confirmed_empty(self) -> int:
        records = self.candles.read_whole(self.series, BASE.last_over(self.now_s())).over
        flags = records["flags"]
        return int(np.count_nonzero((flags & EMPTY != 0) & (flags & STATE_MASK == CandleState.CONFIRMED)))


@pytest.fixture
def here(request: pytest.FixtureRequest, redis_client: redis.Redis) -> Iterator[Here]:
    product = getattr(request, "param", BUSY)
    market = SeededMarket(7, start_s=START_S)
    with LocalExchange(market, speed=0, start_ms=START_S * 1000 + 90_000, requests_per_second=FAST) as exchange:
        yield Here(exchange, redis_client, product)


def newest(count: int) -> Callable[[Rows], Rows]:
    return lambda rows: rows[-count:]


def late(here: Here, seconds: int, *, shows_open: bool) -> Callable[[Rows], Rows]:
    """A server without anything newer than `seconds` ago; `shows_open`: except for the row of the open bucket."""

    def distort(rows: Rows) -> Rows:
        open_s = BASE.bucket(here.now_s())
        return [c for c in rows if c.end_s <= here.now_s() - seconds or (shows_open and c.start_s == open_s)]

    return distort


@pytest.mark.parametrize("here", [BUSY, THIN], indirect=True)
def test_a_start_fills_all_that_the_ring_can_hold(here: Here) -> None:
    here.round()
    here.pass_time(60)
    assert here.wrong() == []
    held = here.candles.read_whole(here.series, BASE.last_over(here.now_s())).over
    assert len(held) > 0.9 * CAPACITY


@pytest.mark.parametrize("distort", [newest(0), newest(1), newest(100), lambda rows: rows[:10]])
@pytest.mark.parametrize("here", [BUSY, THIN], indirect=True)
def test_an_empty_or_short_answer_at_the_start_ends_no_history(here: Here, distort: Callable[[Rows], Rows]) -> None:
    here.rest_seen.distort = distort
    here.round()
    here.pass_time(60)
    here.rest_seen.distort = lambda rows: rows
    here.reconcile()
    here.pass_time(140)
    assert here.wrong() == []


@pytest.mark.parametrize(
    ("here", "hours"), [*((BUSY, h) for h in (1, 30, 72, 1000)), *((THIN, h) for h in (6, 48, 100))], indirect=["here"]
)
def test_after_a_downtime_everything_comes_back(here: Here, hours: int) -> None:
    here.round()
    here.pass_time(60)
    here.market.clock.jump(hours * 60 * MINUTE_MS)
    before = here.rest_seen.pages
    here.reconcile()
    assert here.rest_seen.pages - before <= 7
    here.pass_time(80)
    assert here.wrong() == []


def test_a_reconciliation_that_overtakes_a_gap_ends_no_history(here: Here) -> None:
    """Two workers after a downtime of 800 buckets: one waits for REST while another has its response at once."""
    here.round()
    here.market.clock.jump(800 * 5 * MINUTE_MS)
    now_ms = here.market.clock.now_ms()
    here.clock.set(now_ms)
    gap, page = (BackfillRequest(kind, BUSY, BASE) for kind in (Kind.GAP, Kind.RECONCILE))
    filler = Filler(here, here.settings, lambda _: None)
    slow = filler.next_page(gap, now_ms)
    assert slow is not None
    for request, need in ((page, filler.next_page(page, now_ms)), (gap, slow)):
        assert need is not None
        with here.budgeted_rest.permit(timeout_s=PATIENCE_S) as permit:
            assert permit is not None
            filler.work(request, need, now_ms, permit)
    here.round()
    assert here.wrong() == []
    assert not here.candles.read_whole(here.series, BASE.last_over(here.now_s())).origin.is_proven


@pytest.mark.parametrize("shows_open", [True, False])
@pytest.mark.parametrize("seconds", [120, 1_200, 86_400])
def test_a_late_server_empties_nothing_after_any_number_of_requests(here: Here, seconds: int, shows_open: bool) -> None:
    here.round()
    here.pass_time(15, every=15)
    empty = here.confirmed_empty()
    here.rest_seen.distort = late(here, seconds, shows_open=shows_open)
    for _ in range(5):
        here.reconcile()
        here.pass_time(5, every=5)
    assert here.confirmed_empty() == empty
    here.rest_seen.distort = lambda rows: rows
    here.reconcile()
    here.pass_time(60)
    assert here.wrong() == []


def test_candles_that_a_server_no_longer_has_are_provisional_until_confirmed(here: Here) -> None:
    """Nothing decides whether the first server was wrong or the second is late."""
    here.round()
    here.pass_time(75, every=15)
    assert here.provisional() == set()
    here.changed.clear()
    here.rest_seen.distort = late(here, 3_600, shows_open=False)
    here.reconcile()
    without_s, over_s = here.now_s() - 3_600, here.now_s() - 900
    traded = {int(row["start"]) for row in here.market.truth(BUSY, BASE, without_s - 10 * STEP, here.now_s())}
    missing = {s for s in traded if without_s < s + STEP <= over_s}
    assert len(missing) == 9
    assert here.provisional() == missing
    assert {(t.product, t.timeframe) for t in here.changed} == {(BUSY, BASE)}, "its newest value is computed again"
    assert here.wrong() == [], "nothing is taken back"
    assert here.queue.pending() == {BackfillRequest(Kind.GAP, BUSY, BASE)}
    here.rest_seen.distort = lambda rows: rows
    here.pass_time(5, every=5)
    assert here.provisional() == set()


def test_two_servers_one_late_and_one_short_in_turn_change_nothing_that_is_true(here: Here) -> None:
    here.round()
    here.pass_time(15, every=15)
    turns = iter(range(10**6))
    bad = (late(here, 86_400, shows_open=True), newest(3), newest(0), lambda rows: rows)
    here.rest_seen.distort = lambda rows: bad[next(turns) % len(bad)](rows)
    for _ in range(5):
        here.reconcile()
        here.pass_time(5, every=5)
        assert not [p for p in here.wrong() if "empty" in p]
    here.rest_seen.distort = lambda rows: rows
    here.reconcile()
    here.pass_time(60)
    assert here.wrong() == []


def test_half_candles_give_way_to_whole_ones(here: Here) -> None:
    here.round()
    here.rest_seen.distort = lambda rows: [c.model_copy(update={"volume": c.volume / 2}) for c in rows]
    here.reconcile()
    assert len(here.disputes.read(here.series)) > 300
    assert here.wrong() == [], "what REST itself had confirmed stays"
    here.rest_seen.distort = lambda rows: rows
    here.pass_time(60)
    assert here.wrong() == []
    assert len(here.disputes.read(here.series)) == 0


def test_a_time_from_the_future_shuts_no_series(here: Here) -> None:
    """A clock that jumped two days ahead and back, and a ring that was written from a later time."""
    here.round()
    ahead_s = here.now_s() + 2 * 86_400
    later = [_closed(ahead_s // STEP * STEP + i * STEP) for i in range(CAPACITY)]
    here.clock.set(ahead_s * 1000)
    here.candles.write([Write(here.series, to_records(later), Origin.given(later[0].start_s))])
    here.queue.add([(BackfillRequest(Kind.GAP, BUSY, BASE), Priority.GAP)])
    Drain(here, here.settings, here.budgeted_rest, lambda _: None).run(max_s=PATIENCE_S)
    here.redis.delete("cw:2:clock:coinbase")  # ten seconds later the true time is trusted again
    here.pass_time(40)
    assert here.wrong() == [], "a scan finds it, before any reconciliation"
    here.reconcile()
    here.pass_time(60)
    assert here.wrong() == []


def _closed(start_s: int) -> UnifiedCandle:
    return UnifiedCandle(
        exchange="coinbase", product=BUSY, timeframe=BASE, start_s=start_s, open=10, high=11, low=9, close=10, volume=1,
        state=CandleState.CONFIRMED, observed_ms=start_s * 1000,
    )  # fmt: skip


def test_a_ring_that_grows_is_filled_from_its_beginning(here: Here) -> None:
    here.round()
    settings = here.settings.model_copy(update={"series_capacity": 1_500})
    grown = replace_settings(here, settings)
    newest_s = BASE.last_over(here.now_s())
    grown.candles.reach_back(here.series, newest_s - 1_400 * STEP, newest_s)
    grown.pass_time(20)
    held = grown.candles.read_whole(here.series, newest_s).over
    assert len(held) > 1_390


def replace_settings(here: Here, settings: Settings) -> Here:
    other = Here(here.market, here.redis, here.series.product)
    other.settings = settings
    return other

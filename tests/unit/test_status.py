"""From what was read to the verdict: ready or not, why, and in which words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from app.cache.model import NOTHING, View
from app.candles import State
from app.records import RECORD
from app.series import Series
from app.status.model import Clock, FailedRequest, Feed, Gaps, Product, SeriesStatus
from app.status.series import Latest, Seen, series_status
from app.status.verdict import reasons_of, start_of, summary_of
from app.timeframes import Timeframe

BTC = Series("coinbase", "BTC-USD", Timeframe.M5)
NEWEST = 1_614_840_900
NOW = NEWEST + 300 + 130


def view(*starts: int, origin_s: int = 300) -> View:
    records = np.zeros(len(starts), RECORD)
    records["start_s"], records["flags"] = starts, State.CLOSED
    return View(records, 7, origin_s, 0)


def value(*, ready: bool, candles: int = 500) -> Latest:
    return Latest(NEWEST, candles, ready, None if ready else "ATR is 0")


def of(seen_view: View, latest: Latest | None, *, pending: bool = False, now_s: float | None = NOW) -> SeriesStatus:
    return series_status(Seen(BTC, seen_view, latest, pending), now_s, settling_s=60)


def test_a_current_series_with_an_indicator_is_ready() -> None:
    status = of(view(NEWEST), value(ready=True))
    assert (status.ready, status.stale, status.reason, status.candles) == (True, False, None, 500)
    assert (status.newest, status.age_seconds) == (NEWEST, 130.0)


@pytest.mark.parametrize(("age_s", "stale"), [(660, False), (661, True)])
def test_a_series_is_stale_after_two_lengths_and_the_settling_time(age_s: int, stale: bool) -> None:
    assert of(view(NEWEST), value(ready=True), now_s=NEWEST + 300 + age_s).stale is stale


def test_the_newest_bucket_is_known_from_the_indicator_when_its_candle_is_far_behind() -> None:
    assert of(view(), value(ready=True)).newest == NEWEST


def test_without_a_clock_there_is_no_age() -> None:
    assert of(view(NEWEST), value(ready=True), now_s=None).age_seconds is None


def test_a_series_that_was_never_asked_for_is_not_ready() -> None:
    status = of(NOTHING, None)
    assert (status.ready, status.reason) == (False, "not asked for yet")


def test_a_young_series_is_as_ready_as_it_can_be_once_nothing_is_pending() -> None:
    young = view(NEWEST, origin_s=NEWEST - 9 * 300)
    assert of(young, None, pending=True).ready is False
    status = of(young, None)
    assert status.ready
    assert status.reason == "the exchange has only 10 candles of it, an indicator needs 60"


def test_an_old_series_without_an_indicator_is_waited_for() -> None:
    assert of(view(NEWEST), None).reason == "its indicator is not computed yet"
    assert of(view(NEWEST), value(ready=False)).reason == "ATR is 0"


def series(product: str = "BTC-USD", *, ready: bool = True, stale: bool = False) -> SeriesStatus:
    return SeriesStatus(
        product=product,
        timeframe=Timeframe.M5,
        candles=500,
        newest=NEWEST,
        age_seconds=130,
        ready=ready,
        stale=stale,
        reason=None,
    )


def product(name: str = "BTC-USD", refused: str | None = None) -> Product:
    return Product(product=name, source=name, refused=refused, ready=refused is None)


def feed(age_s: float | None = 0.2, *, connected: bool = True) -> Feed:
    clock = None if age_s is None else Clock(exchange_ms=NOW * 1000, age_real_seconds=age_s)
    return Feed(connected=connected, ingests=[], clock=clock)


def gaps(under_way: int = 0, failures: Sequence[FailedRequest] = ()) -> Gaps:
    return Gaps(
        total=under_way, ready=0, settling=0, delayed=0, under_way=under_way, pending=[], failures=list(failures)
    )


FAILED = FailedRequest(kind="gap", product="ETH-USD", timeframe=Timeframe.M5, reason="404", exchange_ms=0)
TWO = [product("BTC-USD"), product("ETH-USD")]


def reasons(feed_: Feed, products: Sequence[Product], all_series: Sequence[SeriesStatus]) -> str:
    return "; ".join(reasons_of(feed_, products, all_series, start_of(all_series, 1, 5, 0)))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (reasons(feed(), [], []), "no products are followed yet"),
        (reasons(feed(None), [product()], [series()]), "the exchange's clock has not been heard yet"),
        (reasons(feed(16), [product()], [series()]), "the exchange's clock was last heard 16 s ago"),
        (reasons(feed(), [product(refused="unknown")], []), "the exchange delivers none of the products"),
        (
            reasons(feed(), [product()], [series(ready=False)]),
            "still starting: 0 of 1 product, 1 request left, about 1 second",
        ),
        (reasons(feed(), [product()], [series(stale=True)]), "1 series is out of date: BTC-USD 5m"),
        (
            reasons(feed(), [product()], [series(stale=True)] * 5),
            "5 series are out of date: BTC-USD 5m, BTC-USD 5m, BTC-USD 5m and 2 more",
        ),
        (reasons(feed(15), [product()], [series()]), ""),
    ],
)
def test_every_reason_not_to_be_ready(seen: str, reason: str) -> None:
    assert seen.startswith(reason)
    assert bool(seen) is bool(reason)


def test_the_start_counts_series_products_requests_and_seconds() -> None:
    start = start_of([series(), series("ETH-USD"), series("ETH-USD", ready=False)], 12, per_second=5, paused_s=1.5)
    assert (start.series_ready, start.series_total, start.products_ready, start.products_total) == (2, 3, 1, 2)
    assert start.text == "1 of 2 products, 12 requests left, about 4 seconds"
    assert start_of([series()], 0, per_second=5, paused_s=30).seconds_left == 0


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        (summary_of(feed(), TWO, gaps(), []), "All 2 products complete and current"),
        (summary_of(feed(), TWO, gaps(), ["a", "b"]), "Not ready: a; b"),
        (
            summary_of(feed(), [*TWO, product("X-USD", "unknown")], gaps(), []),
            "All 2 products complete and current (1 product is refused by the exchange)",
        ),
        (
            summary_of(feed(connected=False), TWO, gaps(3), []),
            "All 2 products complete and current (a connection to the exchange is down; 3 checks with REST under way)",
        ),
        (
            summary_of(feed(), TWO, gaps(failures=[FAILED]), []),
            "1 of 2 products complete and current (1 request was given up: 404)",
        ),
    ],
)
def test_the_summary_is_one_sentence(summary: str, sentence: str) -> None:
    assert summary == sentence

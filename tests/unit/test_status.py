"""From the stored data to the verdict: ready or not, the reasons, and their texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from app.indicators.window import MIN_CANDLES
from app.market.candles import CandleState
from app.market.records import EMPTY, PROVISIONAL, RECORD
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.query.status.model import Clock, FailedRequest, FeedStatus, ProductStatus, QueueStatus, SeriesStatus
from app.query.status.series import Latest, SeriesFacts, series_status
from app.query.status.verdict import reasons_of, set_apart, start_of, summary_of
from app.storage.model import NO_ORIGIN, NOTHING, Origin, View
from app.storage.queue import Priority
from app.util.timestamps import format_utc

BTC = Series("coinbase", "BTC-USD", Timeframe.M5)
NEWEST = 1_614_840_900
NOW = NEWEST + 300 + 130


def view(*starts: int, origin: Origin = NO_ORIGIN, flags: int = CandleState.CLOSED) -> View:
    records = np.zeros(len(starts), RECORD)
    records["start_s"], records["flags"] = starts, flags
    return View(records, 7, origin, 0)


def thin(silences: Sequence[int], flags: int = CandleState.CONFIRMED | EMPTY) -> View:
    """Up to `NEWEST`: a trade after each of `silences`, which are lengths in buckets."""
    kinds = np.concatenate([[flags] * length + [CandleState.CONFIRMED] for length in silences])
    records = np.zeros(len(kinds), RECORD)
    records["start_s"], records["flags"] = NEWEST + 300 * (np.arange(len(kinds)) - len(kinds) + 1), kinds
    return View(records, 7, Origin.given(300), 0)


def value(*, ready: bool, candles: int = 500) -> Latest:
    return Latest(NEWEST, candles, ready, None if ready else "ATR is 0")


def of(
    seen_view: View, latest: Latest | None, *, pending: Priority | None = None, now_s: float | None = NOW
) -> SeriesStatus:
    return series_status(SeriesFacts(BTC, seen_view, latest, pending), now_s, settling_s=60)


def test_a_current_series_with_an_indicator_is_ready() -> None:
    status = of(view(NEWEST), value(ready=True))
    assert (status.ready, status.stale, status.reason, status.candles) == (True, False, None, 500)
    assert (status.newest, status.age_seconds) == (NEWEST, 130.0)


@pytest.mark.parametrize(("age_s", "stale"), [(660, False), (661, True)])
def test_a_series_is_stale_after_two_lengths_and_the_settling_time(age_s: int, stale: bool) -> None:
    assert of(view(NEWEST), value(ready=True), now_s=NEWEST + 300 + age_s).stale is stale


@pytest.mark.parametrize(("late", "stale"), [(7, False), (8, True)])
def test_a_thin_series_may_be_late_by_as_much_as_it_was_ever_silent(late: int, stale: bool) -> None:
    """Its newest buckets stay missing until a response covers them, which takes a later trade."""
    now_s = NEWEST + 300 + late * 300
    assert of(thin([3, 7, 0]), value(ready=True), now_s=now_s).stale is stale
    assert of(thin([1]), value(ready=True), now_s=now_s).stale, "it was never silent for so long"


@pytest.mark.parametrize(
    "flags", [CandleState.CONFIRMED | EMPTY | PROVISIONAL, CandleState.CLOSED | EMPTY, CandleState.CONFIRMED]
)
def test_only_buckets_confirmed_as_empty_excuse_a_late_series(flags: int) -> None:
    assert of(thin([7, 0], flags), value(ready=True), now_s=NEWEST + 300 + 3 * 300).stale


def test_the_newest_bucket_is_known_from_the_indicator_when_its_candle_is_far_behind() -> None:
    assert of(view(), value(ready=True)).newest == NEWEST


def test_without_a_clock_there_is_no_age() -> None:
    assert of(view(NEWEST), value(ready=True), now_s=None).age_seconds is None


def readiness(status: SeriesStatus) -> tuple[bool, bool, str | None]:
    return status.ready, status.starting, status.reason


def test_a_series_that_was_never_requested_is_starting() -> None:
    assert readiness(of(NOTHING, None)) == (False, True, "not requested yet")


def test_a_series_with_given_up_requests_counts_as_started() -> None:
    refused = SeriesFacts(BTC, NOTHING, None, None, refusal="404 not supported")
    assert readiness(series_status(refused, NOW, settling_s=60)) == (
        False,
        False,
        "requests for it are given up: 404 not supported",
    )
    few = refused._replace(view=view(NEWEST), value=value(ready=False, candles=3))
    assert readiness(series_status(few, NOW, settling_s=60)) == readiness(series_status(refused, NOW, settling_s=60))
    current = SeriesFacts(BTC, view(NEWEST), value(ready=True), None, refusal="404 not supported")
    assert readiness(series_status(current, NOW, settling_s=60)) == (True, False, None)


def test_an_outdated_series_shows_since_when_and_the_exchange_s_reason() -> None:
    late = SeriesFacts(BTC, view(NEWEST - 3_000), None, None)
    since = f"no candle since {format_utc(NEWEST - 2_700)} UTC"
    status = series_status(late, NOW, settling_s=60)
    assert (status.stale, status.reason) == (True, since)
    status = series_status(late._replace(refusal="404 not supported"), NOW, settling_s=60)
    assert status.reason == f"{since}: 404 not supported"


def test_a_series_without_data_of_rest_has_started_and_is_not_ready() -> None:
    """One empty response is not evidence: the series is not ready, but does not delay the others."""
    status = of(view(origin=Origin(0, NOW - 60, 1)), None, pending=Priority.START)
    assert readiness(status) == (False, False, "the exchange has not reported a trade yet; requested again")


def test_a_young_series_is_ready_once_its_origin_was_requested() -> None:
    young = view(NEWEST, origin=Origin(NEWEST - 9 * 300, NOW - 60, 1))
    reason = "the exchange has only 10 candles, an indicator needs 60"
    assert readiness(of(young, None, pending=Priority.START)) == (True, False, reason)
    found = view(NEWEST, origin=Origin(NEWEST - 9 * 300, 0, 0))
    assert readiness(of(found, None)) == (False, True, "its indicator is not computed yet")


def of_a_day(seen_view: View, latest: Latest | None, *, begun_s: int | None, now_s: float = NOW) -> SeriesStatus:
    daily = Series("coinbase", "BTC-USD", Timeframe.D1)
    return series_status(SeriesFacts(daily, seen_view, latest, Priority.START, begun_s), now_s, settling_s=60)


def test_a_product_that_began_today_is_ready_without_a_candle_of_a_day() -> None:
    """REST shows the start of a series of 1d after its first day, but that of 5m within the hour."""
    empty = view(origin=Origin(0, NOW - 60, 1))
    assert readiness(of_a_day(empty, None, begun_s=NEWEST)) == (True, False, "no candle has closed yet")
    assert readiness(of_a_day(empty, None, begun_s=NEWEST - 4 * 86_400))[:2] == (False, False)
    assert readiness(of_a_day(empty, None, begun_s=None))[:2] == (False, False)
    assert readiness(of_a_day(empty, None, begun_s=NOW + 2 * 86_400))[:2] == (False, False), "the clock was ahead"
    assert readiness(of_a_day(NOTHING, None, begun_s=NEWEST))[:2] == (False, True)


def test_a_product_that_began_days_ago_is_ready_with_its_few_candles_of_a_day() -> None:
    yesterday = Timeframe.D1.bucket(NOW) - 86_400
    young, few = view(yesterday), Latest(yesterday, 3, False, "too few candles: 3 of 60")
    reason = "the exchange has only 3 candles, an indicator needs 60"
    assert readiness(of_a_day(young, few, begun_s=yesterday - 2 * 86_400 + 300)) == (True, False, reason)
    built = "too few candles: 3 of 60; older ones are being requested"
    assert readiness(of_a_day(young, few, begun_s=None)) == (False, False, built)


def test_a_series_with_a_provisional_tail_is_not_ready_unless_its_silences_are_as_long() -> None:
    def provisional_ranges(provisional: int) -> Latest:
        return value(ready=True)._replace(provisional=provisional)

    busy, quiet = thin([0, 1, 0]), thin([0, 6, 0])
    assert readiness(of(busy, provisional_ranges(2))) == (True, False, None)
    reason = "its newest 3 candles are provisional: waiting for REST to confirm them"
    assert readiness(of(busy, provisional_ranges(3))) == (False, False, reason)
    assert readiness(of(quiet, provisional_ranges(6))) == (True, False, None)
    assert not of(quiet, provisional_ranges(7)).ready


def test_an_old_series_without_an_indicator_is_starting() -> None:
    assert readiness(of(view(NEWEST), None)) == (False, True, "its indicator is not computed yet")
    few = value(ready=False, candles=MIN_CANDLES - 1)
    assert readiness(of(view(NEWEST), few, pending=Priority.START)) == (False, True, "ATR is 0")
    assert readiness(of(view(NEWEST), few)) == (False, False, "ATR is 0")


@pytest.mark.parametrize(
    ("pending", "reason"),
    [
        (Priority.GAP, "ATR is 0; the missing ones are being requested"),
        (Priority.HISTORY, "ATR is 0; older ones are being requested"),
    ],
)
def test_a_series_that_has_started_never_starts_again(pending: Priority, reason: str) -> None:
    few = value(ready=False, candles=2)
    assert readiness(of(view(NEWEST), few, pending=pending)) == (False, False, reason)


def test_a_series_that_can_have_no_value_with_all_its_candles_is_ready() -> None:
    assert readiness(of(view(NEWEST), value(ready=False, candles=MIN_CANDLES))) == (True, False, "ATR is 0")


def series(
    product: str = "BTC-USD", *, ready: bool = True, starting: bool = False, stale: bool = False
) -> SeriesStatus:
    return SeriesStatus(
        product=product,
        timeframe=Timeframe.M5,
        candles=500,
        newest=NEWEST,
        age_seconds=130,
        ready=ready,
        starting=starting,
        stale=stale,
        reason="no candle since noon" if stale else None if ready else "warming up",
    )


def product(name: str = "BTC-USD", refused: str | None = None) -> ProductStatus:
    return ProductStatus(product=name, source=name, refused=refused, ready=refused is None)


def feed(age_s: float | None = 0.2, *, connected: bool = True) -> FeedStatus:
    clock = None if age_s is None else Clock(exchange_ms=NOW * 1000, age_real_seconds=age_s)
    return FeedStatus(connected=connected, ingests=[], clock=clock)


def gaps(under_way: int = 0, failures: Sequence[FailedRequest] = ()) -> QueueStatus:
    return QueueStatus(
        total=under_way, ready=0, settling=0, delayed=0, under_way=under_way, pending=[], failures=list(failures)
    )


FAILED = FailedRequest(kind="gap", product="ETH-USD", timeframe=Timeframe.M5, reason="404", exchange_ms=0)
TWO = [product("BTC-USD"), product("ETH-USD")]


def reasons(feed_: FeedStatus, products: Sequence[ProductStatus], all_series: Sequence[SeriesStatus]) -> str:
    return "; ".join(reasons_of(feed_, products, all_series, start_of(all_series, 5, 0)))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (reasons(feed(), [], []), "no products are followed yet"),
        (reasons(feed(None), [product()], [series()]), "the exchange's clock has not been received yet"),
        (reasons(feed(16), [product()], [series()]), "the exchange's clock was last received 16 s ago"),
        (reasons(feed(), [product(refused="unknown")], []), "the exchange delivers none of the products"),
        (
            reasons(feed(), [product()], [series(ready=False, starting=True)]),
            "still starting: 0 of 1 product, 1 request left, about 1 second",
        ),
        (
            reasons(feed(), [product()], [series(stale=True)]),
            "1 series is out of date: BTC-USD 5m: no candle since noon",
        ),
        (reasons(feed(), [product()], [series(ready=False)]), "1 series is not ready: BTC-USD 5m: warming up"),
        (
            reasons(feed(), [product()], [series(stale=True)] * 5),
            "5 series are out of date: BTC-USD 5m, BTC-USD 5m, BTC-USD 5m and 2 more: no candle since noon",
        ),
        (
            reasons(feed(), [product()], [series(ready=False), series(stale=True)]),
            "1 series is out of date: BTC-USD 5m: no candle since noon; 1 series is not ready: BTC-USD 5m: warming up",
        ),
        (reasons(feed(15), [product()], [series()]), ""),
    ],
)
def test_every_reason_not_to_be_ready(seen: str, reason: str) -> None:
    assert seen.startswith(reason)
    assert bool(seen) is bool(reason)


def many(products: int, timeframes: int, apart: int) -> list[SeriesStatus]:
    """The series of as many products, of which the first `apart` are out of date."""
    names = [f"P{n}-USD" for n in range(products) for _ in range(timeframes)]
    return [series(name, stale=number < apart) for number, name in enumerate(names)]


@pytest.mark.parametrize(
    ("products", "timeframes", "tolerated"),
    [(1, 1, 0), (1, 5, 0), (2, 1, 1), (2, 5, 5), (19, 5, 5), (40, 5, 10), (41, 5, 10), (300, 1, 15)],
)
def test_a_twentieth_of_the_series_or_one_product_may_be_set_apart(
    products: int, timeframes: int, tolerated: int
) -> None:
    followed = [product(f"P{n}-USD") for n in range(products)]
    assert reasons(feed(), followed, many(products, timeframes, tolerated)) == ""
    assert "out of date" in reasons(feed(), followed, many(products, timeframes, tolerated + 1))


def test_one_starting_series_is_too_many() -> None:
    assert "still starting" in reasons(feed(), TWO, [*many(100, 1, 0), series(ready=False, starting=True)])


def test_series_set_apart_are_named_in_the_summary() -> None:
    late, quiet = series("ETH-USD", stale=True), series("ETH-USD", ready=False)
    of_one = summary_of(feed(), TWO, gaps(), [series(), late], [])
    assert of_one == "1 of 2 products complete and current (1 series is out of date: ETH-USD 5m: no candle since noon)"
    of_one = summary_of(feed(), TWO, gaps(), [series(), quiet], [])
    assert of_one == "1 of 2 products complete and current (1 series is not ready: ETH-USD 5m: warming up)"


def test_the_start_counts_series_products_requests_and_seconds() -> None:
    waiting = [series("ETH-USD", ready=False, starting=True)] * 12
    start = start_of([series(), series("ETH-USD"), *waiting], per_second=5, paused_s=1.5)
    assert (start.series_ready, start.series_total, start.products_ready, start.products_total) == (2, 14, 1, 2)
    assert start.text == "1 of 2 products, 12 requests left, about 4 seconds"
    crowded = start_of([series(), *waiting], per_second=5, paused_s=0, ahead=100)
    assert crowded.text == "1 of 2 products, 12 requests left, about 20 seconds", "more urgent ones come first"
    done = start_of([series()], per_second=5, paused_s=30)
    assert (done.seconds_left, done.text) == (0, "1 of 1 product")


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        (summary_of(feed(), TWO, gaps(), [series()], []), "All 2 products complete and current"),
        (summary_of(feed(), TWO, gaps(), [series()], ["a", "b"]), "Not ready: a; b"),
        (
            summary_of(feed(), [*TWO, product("X-USD", "unknown")], gaps(), [series()], []),
            "All 2 products complete and current (1 product is refused by the exchange)",
        ),
        (
            summary_of(feed(connected=False), TWO, gaps(3), [series()], []),
            "All 2 products complete and current (a connection to the exchange is down; 3 checks with REST under way)",
        ),
        (
            summary_of(feed(), TWO, gaps(failures=[FAILED]), [series()], []),
            "1 of 2 products complete and current (1 request was given up: 404)",
        ),
    ],
)
def test_the_summary_is_one_sentence(summary: str, sentence: str) -> None:
    assert summary == sentence


def test_a_series_that_is_starting_is_not_set_apart() -> None:
    waiting, stale = series(ready=False, starting=True), series(stale=True)
    assert set_apart([waiting, stale, series()]) == [stale]

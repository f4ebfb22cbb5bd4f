"""The verdict: whether the data is complete and current, and if not, why. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import ceil

from app.query.status.model import Clock, FeedStatus, ProductStatus, QueueStatus, SeriesStatus, Start

CLOCK_OLD_S = 15.0
"""Real seconds without the exchange's clock after which the data is not ready."""

TOLERANCE = 20
"""One series in this many may be set apart."""

NOTHING_FOLLOWED = (
    "no products are followed yet: is an ingest process running, can it reach the exchange, and do its products match "
    "a product there? See the ingest log"
)

NAMED = 3
"""Series that a sentence names; the others are counted."""


def start_of(series: Sequence[SeriesStatus], per_second: float, paused_s: float, ahead: int = 0) -> Start:
    """Progress of the initial backfill: one request per series that waits for its first candles.

    `ahead`: all pending requests of at least its urgency.
    """
    requests_left = sum(s.starting for s in series)
    by_product: defaultdict[str, list[bool]] = defaultdict(list)
    for s in series:
        by_product[s.product].append(s.ready)
    products_ready = sum(map(all, by_product.values()))
    seconds_left = ceil(max(requests_left, ahead) / per_second + paused_s) if requests_left else 0
    done = f"{products_ready} of {_count(len(by_product), 'product', 'products')}"
    left = [
        f"{_count(requests_left, 'request', 'requests')} left",
        f"about {_count(seconds_left, 'second', 'seconds')}",
    ]
    return Start(
        series_ready=sum(s.ready for s in series),
        series_total=len(series),
        products_ready=products_ready,
        products_total=len(by_product),
        requests_left=requests_left,
        seconds_left=seconds_left,
        text=", ".join([done, *left] if requests_left else [done]),
    )


def reasons_of(
    feed: FeedStatus, products: Sequence[ProductStatus], series: Sequence[SeriesStatus], start: Start
) -> list[str]:
    """Every reason why the data is not ready; empty if it is ready."""
    if not products:
        return [NOTHING_FOLLOWED]
    reasons = list(_about_clock(feed.clock))
    if not series:
        reasons.append("the exchange delivers none of the products")
    if any(s.starting for s in series):
        reasons.append(f"still starting: {start.text}")
    if (apart := set_apart(series)) and len(apart) > tolerated(series):
        reasons.append(_sentence(apart))
    return reasons


def set_apart(series: Sequence[SeriesStatus]) -> list[SeriesStatus]:
    """Series that have started but are stale or not ready."""
    return [s for s in series if not s.starting and (s.stale or not s.ready)]


def tolerated(series: Sequence[SeriesStatus]) -> int:
    """How many series may be set apart while the rest counts as ready: a twentieth, at least one product's series.

    At least one product must not be set apart.
    """
    of_one_product = max(Counter(s.product for s in series).values(), default=0)
    return min(max(len(series) // TOLERANCE, of_one_product), len(series) - of_one_product)


def summary_of(
    feed: FeedStatus,
    products: Sequence[ProductStatus],
    gaps: QueueStatus,
    series: Sequence[SeriesStatus],
    reasons: Sequence[str],
) -> str:
    """The state in one sentence, for people."""
    if reasons:
        return "Not ready: " + "; ".join(reasons)
    delivered = {p.product for p in products if p.refused is None}
    whole = delivered - {f.product for f in gaps.failures} - {s.product for s in set_apart(series)}
    count = f"All {len(whole)}" if whole == delivered else f"{len(whole)} of {len(delivered)}"
    asides = list(_asides(feed, products, gaps, series))
    return f"{count} products complete and current" + (f" ({'; '.join(asides)})" if asides else "")


def _about_clock(clock: Clock | None) -> Iterable[str]:
    if clock is None:
        yield "the exchange's clock has not been received yet"
    elif clock.age_real_seconds > CLOCK_OLD_S:
        yield f"the exchange's clock was last received {clock.age_real_seconds:.0f} s ago"


def _asides(
    feed: FeedStatus, products: Sequence[ProductStatus], gaps: QueueStatus, series: Sequence[SeriesStatus]
) -> Iterable[str]:
    """Problems that do not make the data wrong now."""
    if not feed.connected:
        yield "a connection to the exchange is down"
    if urgent := gaps.ready + gaps.delayed + gaps.under_way:
        yield f"{_count(urgent, 'check', 'checks')} with REST under way"
    if apart := set_apart(series):
        yield _sentence(apart)
    if gaps.failures:
        yield f"{_count(len(gaps.failures), 'request was', 'requests were')} given up: {gaps.failures[0].reason}"
    if refused := [p for p in products if p.refused is not None]:
        yield f"{_count(len(refused), 'product is', 'products are')} refused by the exchange"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _sentence(apart: Sequence[SeriesStatus]) -> str:
    """How many series are set apart, and which."""
    kinds = {
        "out of date": [s for s in apart if s.stale],
        "not ready": [s for s in apart if not s.stale],
    }
    return "; ".join(
        f"{_count(len(some), 'series is', 'series are')} {kind}: {_names(some)}: {some[0].reason}"
        for kind, some in kinds.items()
        if some
    )


def _names(series: Sequence[SeriesStatus]) -> str:
    shown = ", ".join(f"{s.product} {s.timeframe}" for s in series[:NAMED])
    return shown + (f" and {len(series) - NAMED} more" if len(series) > NAMED else "")

"""Reads the state of an installation from Redis: about a dozen round trips, and one more per 500 series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.market.series import Series
from app.market.timeframes import BASE
from app.query.status.model import (
    BudgetInfo,
    Clock,
    ConnectionStatus,
    Corrections,
    FailedRequest,
    FeedStatus,
    IngestStatus,
    PendingRequest,
    ProductStatus,
    Queues,
    QueueStatus,
    RedisInfo,
    SeriesStatus,
    Status,
)
from app.query.status.series import Latest, SeriesFacts, series_status
from app.query.status.verdict import reasons_of, start_of, summary_of
from app.settings import Settings
from app.storage import keys
from app.storage.clock import ExchangeTime
from app.storage.entries import counts_of, or_none, readable
from app.storage.fitness import read_facts, unfit
from app.storage.health import HealthCache
from app.storage.heartbeats import live_process_counts
from app.storage.indicators import indicator_of
from app.storage.model import NOTHING, Range, View
from app.storage.products import FollowedProduct
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.stores import Stores
from app.util.caches import IncrementalMap

NEWEST = 3
"""Newest buckets of each series that are read first: enough for a current series."""

LISTED = 500
"""Pending requests that are listed; the rest are counted."""


def read_status(stores: Stores, settings: Settings) -> Status:
    """The installation's state now. Raises redis' errors if Redis cannot be reached."""
    clock = stores.clock.read()
    followed = stores.products.read()
    pending = _pending(stores)
    failures = stores.queue.failures()
    seen = _look(stores, settings, followed, clock, pending, failures)
    now_s = clock.exchange_s if clock else None
    series = [series_status(s, now_s, settings.settling_seconds) for s in seen]
    budget = _budget(stores, settings)
    ahead = sum(priority is not None and priority <= Priority.START for priority in pending.values())
    start = start_of(series, budget.per_second, budget.paused_real_seconds, ahead)
    feed, gaps, products = _feed(stores, clock), _gaps(stores, pending, failures), _products(followed, series)
    corrections, queues = _counters(stores)
    server = read_facts(stores.redis)
    reasons = [*unfit(server), *reasons_of(feed, products, series, start)]
    if reasons and budget.pause_reason:
        reasons.append(f"requests are paused, since the exchange answered {budget.pause_reason}")
    return Status(
        summary=summary_of(feed, products, gaps, series, reasons),
        ready=not reasons,
        reasons=reasons,
        exchange=stores.exchange,
        feed=feed,
        start=start,
        products=products,
        series=series,
        gaps=gaps,
        budget=budget,
        corrections=corrections,
        processes=live_process_counts(stores.redis),
        queues=queues,
        redis=RedisInfo.model_validate(server),
    )


def _look(
    stores: Stores,
    settings: Settings,
    followed: Sequence[FollowedProduct],
    clock: ExchangeTime | None,
    pending: Mapping[BackfillRequest, Priority | None],
    failures: Mapping[BackfillRequest, dict[str, Any]],
) -> list[SeriesFacts]:
    """Facts about every delivered series, from its newest buckets."""
    many = [Series(stores.exchange, p.product, t) for p in followed if not p.refused for t in settings.timeframes]
    values = _latest_of(stores.indicators.read_json(many))
    # A ready indicator of the newest bucket is enough; candles are read only for the other series.
    over = {t: t.last_over(clock.exchange_s) for t in settings.timeframes} if clock else {}
    unclear = [
        i
        for i, (value, series) in enumerate(zip(values, many, strict=True))
        if not over
        or value is None
        or not value.ready
        or value.is_provisional
        or value.start_s < over[series.timeframe]
    ]
    provisional_ranges = frozenset(many[i] for i in unclear if (value := values[i]) and value.is_provisional)
    views = dict(zip(unclear, _newest_of(stores, [many[i] for i in unclear], clock, provisional_ranges), strict=True))
    refusals = {(request.product, request.timeframe): failure["reason"] for request, failure in failures.items()}
    begun = _begun(stores, {many[i].product for i in unclear if not (value := values[i]) or not value.ready})
    return [
        SeriesFacts(
            series,
            views.get(i, NOTHING),
            value,
            pending.get(BackfillRequest(Kind.GAP, series.product, series.timeframe)),
            begun.get(series.product),
            refusals.get((series.product, series.timeframe)),
        )
        for i, (series, value) in enumerate(zip(many, values, strict=True))
    ]


def _begun(stores: Stores, products: Iterable[str]) -> dict[str, int]:
    """The 5m bucket in which each of `products` began, if REST has shown it."""
    base = [Series(stores.exchange, product, BASE) for product in products]
    origins = [view.origin for view in stores.candles.read_many([Range(series, 0, 0) for series in base])]
    return {
        series.product: origin.start_s
        for series, origin in zip(base, origins, strict=True)
        if origin.responses and origin.start_s
    }


def _latest(data: bytes) -> Latest:
    """The stored value, decoded."""
    value = indicator_of(data)
    return Latest(value["start"], value["candles"], value["ready"], value.get("reason"), value.get("provisional", 0))


_latest_of = IncrementalMap(or_none("indicator values", _latest))


def _newest_of(
    stores: Stores, many: Sequence[Series], clock: ExchangeTime | None, whole: frozenset[Series]
) -> list[View]:
    """The newest buckets of each series; all buckets if these are missing, or for series in `whole`."""
    if clock is None:  # The newest buckets are unknown: the status uses the indicators' buckets.
        return stores.candles.read_many([Range(s, 0, 0) for s in many])
    newest = [s.timeframe.bucket(clock.exchange_s) for s in many]
    steps = [s.timeframe.seconds for s in many]
    views = stores.candles.read_many(
        [Range(s, last - NEWEST * step, last) for s, last, step in zip(many, newest, steps, strict=True)]
    )
    behind = [i for i, view in enumerate(views) if view.revision and (not len(view.over) or many[i] in whole)]
    for i, view in zip(behind, stores.candles.read_many([Range(many[i], 0, newest[i]) for i in behind]), strict=True):
        views[i] = view
    return views


def _products(followed: Iterable[FollowedProduct], series: Iterable[SeriesStatus]) -> list[ProductStatus]:
    waiting = {s.product for s in series if not s.ready}
    return [ProductStatus(**p._asdict(), ready=p.refused is None and p.product not in waiting) for p in followed]


def _feed(stores: Stores, clock: ExchangeTime | None) -> FeedStatus:
    rows = HealthCache(stores.redis, stores.exchange).read()
    ingests = readable("health of ingests", sorted(rows.items()), _ingest)
    connections = [c for ingest in ingests for c in ingest.connections]
    return FeedStatus(
        connected=bool(connections) and all(c.is_open for c in connections),
        ingests=ingests,
        clock=None if clock is None else Clock(exchange_ms=clock.exchange_ms, age_real_seconds=clock.age_ms / 1000),
    )


def _ingest(entry: tuple[str, dict[str, Any]]) -> IngestStatus:
    name, row = entry
    # An adapter's report on each connection, merged with its session's report.
    connections = [ConnectionStatus(**c, **c.get("session", {})) for c in row["connections"]]
    return IngestStatus(name=name, age_ms=row["age_ms"], dropped=row["dropped"], connections=connections)


def _pending(stores: Stores) -> dict[BackfillRequest, Priority | None]:
    """The priority of every pending request; None if it is just done."""
    priorities = stores.queue.priorities()
    return {request: priorities.get(request) for request in stores.queue.pending()}


def _gaps(
    stores: Stores,
    pending: Mapping[BackfillRequest, Priority | None],
    failures: Mapping[BackfillRequest, dict[str, Any]],
) -> QueueStatus:
    state = stores.queue.state()
    return QueueStatus(
        total=len(pending),
        ready=state.ready,
        settling=state.settling,
        delayed=state.delayed,
        under_way=state.leased,
        pending=[
            PendingRequest(**request._asdict(), priority=None if priority is None else priority.name.lower())
            for request, priority in sorted(pending.items())[:LISTED]
        ],
        failures=[FailedRequest(**request._asdict(), **failure) for request, failure in sorted(failures.items())],
    )


def _budget(stores: Stores, settings: Settings) -> BudgetInfo:
    state = stores.budget.state()
    return BudgetInfo(
        per_second=settings.exchange(stores.exchange).rest_requests_per_second,
        granted=state.granted,
        throttled=state.throttled,
        paused_real_seconds=state.paused_s,
        pause_reason=state.reason,
    )


def _counters(stores: Stores) -> tuple[Corrections, Queues]:
    """In one round trip."""
    with stores.redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.COUNTERS)
        pipe.hlen(f"{keys.CELERY}unacked")
        for name in keys.QUEUES:
            pipe.llen(f"{keys.CELERY}{name}")
        counters, unacknowledged, *lengths = pipe.execute()
    waiting = dict(zip(keys.QUEUES, lengths, strict=True))
    return _corrections(counters), Queues(waiting=waiting, unacknowledged=unacknowledged)


def _corrections(counters: dict[bytes, bytes]) -> Corrections:
    by_cause: dict[str, dict[str, int]] = {}
    for name, count in sorted(counts_of(counters).items()):
        what, _, rest = name.partition(":")
        cause, _, timeframe = rest.partition(":")
        if what == "corrections":
            by_cause.setdefault(cause, {})[timeframe] = count
    return Corrections(total=sum(n for by in by_cause.values() for n in by.values()), by_cause=by_cause)

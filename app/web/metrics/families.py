"""Builds the metrics, with their help, from `Sources`. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.query.status.model import Status
from app.web.metrics.sources import Rows, Sources

PREFIX = "candlewick_"
QUANTILES = (0.5, 0.9, 0.99, 1.0)


def families(sources: Sources, clients: int, lag_s: float) -> Iterator[Metric]:
    """All metrics. `clients`: stream clients of this process; `lag_s`: lag of the slowest one."""
    yield from _of_data(sources.status)
    yield from _of_backfill(sources)
    yield from _of_feed(sources.status)
    yield from _of_connections(sources.status)
    yield from _of_machinery(sources)
    yield gauge("stream_clients", "Clients of the live stream in this process.", clients)
    yield gauge("stream_lag_seconds", "Lag of the slowest of these clients behind the newest event.", lag_s)


def gauge(name: str, about: str, value: float | Rows, labels: Iterable[str] = ()) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, about, labels=list(labels)), value)


def counter(name: str, about: str, value: float | Rows, labels: Iterable[str] = ()) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, about, labels=list(labels)), value)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, value: float | Rows) -> Metric:
    rows = value if isinstance(value, Mapping) else {(): value}
    for labels, one in rows.items():
        family.add_metric(list(labels), one)
    return family


def _of_data(status: Status) -> Iterator[Metric]:
    yield gauge("ready", "1 while the data is complete and current (see /readyz).", status.ready)
    yield gauge(
        "candle_age_seconds",
        "Exchange seconds since the end of the newest closed candle's bucket, over all products; quantile 1 is the "
        "worst. Normally less than one timeframe plus the settling time.",
        _ages(status),
        ["timeframe", "quantile"],
    )
    yield gauge("products", "Followed products by state.", _products(status), ["state"])
    yield gauge("series", "Series (one timeframe of one product) by state.", _series(status), ["state"])
    yield counter(
        "corrections",
        "Closed candles that were replaced, by cause.",
        {(cause, t): n for cause, by in status.corrections.by_cause.items() for t, n in by.items()},
        ["cause", "timeframe"],
    )


def _ages(status: Status) -> Rows:
    ages: defaultdict[str, list[float]] = defaultdict(list)
    for s in status.series:
        if s.age_seconds is not None:
            ages[s.timeframe].append(s.age_seconds)
    return {
        (timeframe, f"{q:g}"): float(value)
        for timeframe, some in ages.items()
        for q, value in zip(QUANTILES, np.quantile(some, QUANTILES, method="higher"), strict=True)
    }


def _products(status: Status) -> Rows:
    refused = sum(p.refused is not None for p in status.products)
    ready = sum(p.ready for p in status.products)
    return {("ready",): ready, ("starting",): len(status.products) - ready - refused, ("refused",): refused}


def _series(status: Status) -> Rows:
    stale, starting = sum(s.stale for s in status.series), sum(not s.ready and not s.stale for s in status.series)
    return {("current",): len(status.series) - stale - starting, ("starting",): starting, ("stale",): stale}


def _of_backfill(sources: Sources) -> Iterator[Metric]:
    gaps, budget = sources.status.gaps, sources.status.budget
    yield gauge("open_gaps", "Series with missing candles, which are requested.", sources.open_gaps, ["timeframe"])
    states = {"ready": gaps.ready, "settling": gaps.settling, "delayed": gaps.delayed, "under_way": gaps.under_way}
    yield gauge(
        "backfill_requests",
        "Requests for candles: ready waits for a permit, settling for the bucket to settle, delayed for a "
        "retry, given_up for the next scan.",
        {(state,): n for state, n in {**states, "given_up": len(gaps.failures)}.items()},
        ["state"],
    )
    yield counter("rest_requests", "REST requests by reason and status.", sources.rest, ["reason", "status"])
    yield gauge("budget_per_second", "REST requests that are allowed per second.", budget.per_second)
    yield gauge("budget_in_use", "Permits that count against the budget now.", sources.permits_in_use)
    yield gauge("budget_paused_seconds", "Remaining pause after a 429.", budget.paused_real_seconds)
    yield counter("budget_granted", "Permits granted.", budget.granted)
    yield counter("budget_throttled", "Responses of 429, 401 and 403.", budget.throttled)


def _of_feed(status: Status) -> Iterator[Metric]:
    clock = status.feed.clock
    yield gauge("feed_connected", "1 while every connection of every ingest process is open.", status.feed.connected)
    yield gauge("feed_ingests", "Running ingest processes.", len(status.feed.ingests))
    yield gauge(
        "clock_age_seconds",
        "Real seconds since the exchange's clock was received; absent if never.",
        {(): clock.age_real_seconds} if clock else {},
    )
    yield counter(
        "ingest_dropped",
        "Candles dropped while Redis was unavailable; a scan finds them.",
        {(i.name,): i.dropped for i in status.feed.ingests},
        ["ingest"],
    )


def _of_connections(status: Status) -> Iterator[Metric]:
    labels = ("ingest", "connection")
    connections = {(i.name, c.connection): c for i in status.feed.ingests for c in i.connections}

    def each(value: str) -> Rows:
        return {name: float(getattr(c, value)) for name, c in connections.items()}

    yield gauge("connection_open", "1 while the connection is open.", each("is_open"), labels)
    yield counter("connection_frames", "Frames received.", each("frames"), labels)
    yield counter("connection_sequence_gaps", "Gaps in the sequence numbers.", each("sequence_gaps"), labels)
    yield counter("connection_late_updates", "Updates of closed buckets.", each("late_updates"), labels)
    yield counter(
        "connection_reconnects",
        "Times that it was reopened.",
        {name: max(0, c.attempt - 1) for name, c in connections.items()},
        labels,
    )
    yield counter(
        "connection_rejected",
        "Rejected frames, by reason.",
        {(*name, reason): n for name, c in connections.items() for reason, n in c.rejected.items()},
        (*labels, "reason"),
    )
    yield gauge(
        "channel_silent_seconds",
        "Real seconds since the last frame.",
        {(*name, channel): ms / 1000 for name, c in connections.items() for channel, ms in c.silent_ms.items()},
        (*labels, "channel"),
    )


def _of_machinery(sources: Sources) -> Iterator[Metric]:
    queues, redis = sources.status.queues, sources.status.redis
    waiting: Rows = {(name,): n for name, n in queues.waiting.items()}
    living: Rows = {(role,): number for role, number in sources.status.processes.items()}
    yield gauge("processes", "Running processes, on all hosts.", living, ["role"])
    yield gauge("tasks_waiting", "Tasks in Celery's queues.", waiting, ["queue"])
    yield counter("tasks_dropped", "Tasks that were not sent because too many waited.", sources.dropped, ["queue"])
    yield counter("rejected", "Invalid rows, names and series that were left out.", sources.rejected, ["place"])
    yield gauge("tasks_unacknowledged", "Tasks held by workers.", queues.unacknowledged)
    yield gauge("events_kept", "Entries of the event stream.", sources.events)
    yield gauge("alerts_kept", "Stored alerts.", sources.alerts)
    yield gauge(
        "alert_messages",
        "Alert messages not yet delivered, by channel.",
        sources.messages,
        ["channel", "state"],
    )
    yield gauge("redis_used_bytes", "Memory that Redis uses.", redis.used_bytes)
    yield gauge("redis_max_bytes", "Memory that Redis may use; 0: no limit.", redis.max_bytes)

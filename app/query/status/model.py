"""The state of an installation. Pure values.

Ages are exchange seconds, except `…real_seconds`, and `…ms` of connections, which are real time.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from app.market.timeframes import Timeframe


class StatusPart(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Clock(StatusPart):
    """The exchange's time (UNIX milliseconds) and its age."""

    exchange_ms: int
    age_real_seconds: float


class ConnectionStatus(StatusPart):
    """One connection to the exchange, as reported by its adapter.

    `open_ms`: real time since it was opened. `attempt` counts connections since the start. `silent_ms`: real time since
    the last frame, by channel.
    """

    connection: str
    is_open: bool
    open_ms: int | None = None
    attempt: int = 0
    attempts_failed: int = 0
    last_error: str | None = None
    products: int = 0
    frames: int = 0
    rejected: dict[str, int] = {}
    sequence_gaps: int = 0
    late_updates: int = 0
    silent_ms: dict[str, int] = {}


class IngestStatus(StatusPart):
    """Last report of an ingest process, `age_ms` ago. `dropped`: candles that it could not buffer for Redis."""

    name: str
    age_ms: int
    dropped: int
    connections: list[ConnectionStatus]


class FeedStatus(StatusPart):
    """`connected`: there are connections to the exchange, and all are open."""

    connected: bool
    ingests: list[IngestStatus]
    clock: Clock | None


class ProductStatus(StatusPart):
    """`source`: the product whose frames feed it. `refused`: why the exchange does not deliver it."""

    product: str
    source: str
    refused: str | None
    ready: bool


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """The state of one series. There are thousands, so it is a dataclass and not a model.

    `candles`: number of candles behind the indicator; without one, number of closed candles among the newest.
    `newest`: start of the newest closed bucket. `age_seconds`: exchange time since the end of that bucket.
    `ready`: there is an indicator, or there cannot be one yet and `reason` is the cause. `starting`: its first candles
    are still to come. `stale`: newer candles are overdue by more buckets than it was ever without a trade.
    """

    product: str
    timeframe: Timeframe
    candles: int
    newest: int | None
    age_seconds: float | None
    ready: bool
    starting: bool
    stale: bool
    reason: str | None


class Start(StatusPart):
    """Progress of the initial backfill: the first page of each series.

    `requests_left`: series that wait for it. `seconds_left`: real time, estimated from the request budget.
    """

    series_ready: int
    series_total: int
    products_ready: int
    products_total: int
    requests_left: int
    seconds_left: int
    text: str


class RequestInfo(StatusPart):
    kind: str
    product: str
    timeframe: Timeframe


class PendingRequest(RequestInfo):
    """`priority`: gap, start (the initial backfill), history or reconcile; None if just done."""

    priority: str | None = None


class FailedRequest(RequestInfo):
    """A request that was given up. A scan requests it again after an hour of exchange time."""

    reason: str
    exchange_ms: int


class QueueStatus(StatusPart):
    """Requests for candles: how many wait for a permit, for settling or for a retry, or are under way.

    `pending` lists at most the first `LISTED` of `total`.
    """

    total: int
    ready: int
    settling: int
    delayed: int
    under_way: int
    pending: list[PendingRequest]
    failures: list[FailedRequest]


class BudgetInfo(StatusPart):
    """REST requests of all processes: permits granted, responses of 429, 401 and 403, remaining pause.

    `pause_reason`: the exchange's response; None while there is no pause.
    """

    per_second: float
    granted: int
    throttled: int
    paused_real_seconds: float
    pause_reason: str | None = None


class Corrections(StatusPart):
    """Closed candles that were replaced: by cause, then by timeframe."""

    total: int
    by_cause: dict[str, dict[str, int]]


class Queues(StatusPart):
    """Waiting tasks, by queue, and tasks held by workers."""

    waiting: dict[str, int]
    unacknowledged: int


class RedisInfo(StatusPart):
    """`max_bytes` 0: no limit."""

    version: str
    used_bytes: int
    max_bytes: int
    policy: str
    append_only: bool


class Status(StatusPart):
    """`ready`: the data is complete and current; else `reasons` lists why not. `summary`: one sentence."""

    summary: str
    ready: bool
    reasons: list[str]
    exchange: str
    feed: FeedStatus
    start: Start
    products: list[ProductStatus]
    series: list[SeriesStatus]
    gaps: QueueStatus
    budget: BudgetInfo
    corrections: Corrections
    processes: dict[str, int]
    """Running processes by role: ingest, beat, web, watchdog, and each worker by its queues."""
    queues: Queues
    redis: RedisInfo

"""What there is to know about an installation. Pure values.

Ages without another word are exchange seconds; `…real_seconds` and `…ms` of connections are real time.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from app.market.timeframes import Timeframe


class StatusPart(BaseModel):
    model_config = ConfigDict(frozen=True)


class Clock(StatusPart):
    """The exchange's time (UNIX milliseconds) and how long ago it was heard."""

    exchange_ms: int
    age_real_seconds: float


class ConnectionStatus(StatusPart):
    """One connection to the exchange, as its adapter tells of it.

    `open_ms`: for how long it has been open, in real time. `attempt` counts connections since the start; `silent_ms` is
    real time since the last frame, by channel.
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
    """One live ingest process: what it told last, `age_ms` ago; `dropped` candles it could not keep for Redis."""

    name: str
    age_ms: int
    dropped: int
    connections: list[ConnectionStatus]


class FeedStatus(StatusPart):
    """`connected`: some ingest process lives, and each of its connections is open."""

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
    """One timeframe of one product; there are thousands, so it is no model of its own.

    `candles`: how many the indicator rests on, or, while there is none, how many closed ones are among the newest.
    `newest`: start of the newest closed bucket. `age_seconds`: how long that bucket has been over, in exchange time.
    `ready`: there is an indicator, or there can be none yet, and `reason` says why. `starting`: its first candles are
    still to come. `stale`: newer candles are overdue, by more buckets than it was ever without a trade.
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
    """How far the first filling has come. `seconds_left` is real time, an estimate by the request budget."""

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
    """`priority`: gap, start (the first filling), history or reconcile; None where it has just been done."""

    priority: str | None = None


class FailedRequest(RequestInfo):
    """A request that was given up, until the next scan takes it up again an hour of exchange time later."""

    reason: str
    exchange_ms: int


class QueueStatus(StatusPart):
    """Requests for candles: how many wait for a permit, for settling, for another try, and are under way.

    `pending` names at most the first `LISTED` of `total`.
    """

    total: int
    ready: int
    settling: int
    delayed: int
    under_way: int
    pending: list[PendingRequest]
    failures: list[FailedRequest]


class BudgetInfo(StatusPart):
    """REST requests of the whole fleet: permits given, answers of 429, what is left of a pause."""

    per_second: float
    granted: int
    throttled: int
    paused_real_seconds: float


class Corrections(StatusPart):
    """Closed candles that were replaced: by what caused it, then by timeframe."""

    total: int
    by_cause: dict[str, dict[str, int]]


class Queues(StatusPart):
    """Tasks that wait, by queue, and tasks that a worker holds."""

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
    """`ready`: the data is there and current; else `reasons` says what is not. `summary` is that in one sentence."""

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
    """How many live, by role: ingest, beat, web, watchdog, and each worker by its queues."""
    queues: Queues
    redis: RedisInfo

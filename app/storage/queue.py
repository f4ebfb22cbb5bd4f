"""Queue of backfill requests: one entry per series, so it is bounded and merges requests.

An entry only means "check this series". The missing buckets are read from the cache when the entry is claimed. So
adjacent, overlapping and repeated gaps become one request, and no bucket is requested that has arrived since.
Every change is one script: if a process exits, an entry is either in the queue or leased, and leases expire.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from enum import IntEnum, StrEnum
from itertools import chain
from typing import Any, NamedTuple, Self, cast

import orjson
from redis import Redis

from app.market.product_ids import is_product_id, why_not
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys
from app.storage.connection import hash_at
from app.storage.entries import readable
from app.storage.requests import Uncovered
from app.storage.scripts import script

LEASE_S = 30.0
"""After this long, the holder of a request is considered dead: longer than its permit, time-out and write take."""

STEP_MS = 20_000
"""A request overtakes one of the next lower urgency that came at most this much earlier. So none starves."""


WAITING = ("ready", "settling", "delayed", "leased")
"""Sorted sets of requests; each request is in one of them."""

PARTS = (*WAITING, "urgency", "attempts", "failures", "uncovered")
"""All keys of the queue, in the order of the scripts."""


class Kind(StrEnum):
    GAP = "gap"
    """Missing buckets: requested until they are there."""
    RECONCILE = "reconcile"
    """The last page of buckets, known or not: compared with REST."""


class Priority(IntEnum):
    """Classes of urgency, most urgent first. Within a class, shorter timeframes come first."""

    GAP = 0
    START = 1
    HISTORY = 2
    RECONCILE = 3


def urgency(priority: Priority, timeframe: Timeframe) -> int:
    """Steps behind the most urgent request."""
    return priority * len(Timeframe) + list(Timeframe).index(timeframe)


class BackfillRequest(NamedTuple):
    kind: Kind
    product: str
    timeframe: Timeframe

    def __str__(self) -> str:
        return f"{self.kind}|{self.product}|{self.timeframe}"

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parse a request. Raises `ValueError` if it is invalid."""
        kind, product, timeframe = raw.decode().split("|")
        if not is_product_id(product):
            raise ValueError(why_not(product))
        return cls(Kind(kind), product, Timeframe(timeframe))

    def series(self, exchange: str) -> Series:
        return Series(exchange, self.product, self.timeframe)


class QueueState(NamedTuple):
    """Number of requests that wait for a permit, for settling or for a retry, and that are claimed."""

    ready: int
    settling: int
    delayed: int
    leased: int

    @property
    def total(self) -> int:
        return sum(self)


class BackfillQueue:
    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._keys = [keys.backfill(exchange, part) for part in PARTS]
        self._urgency, self._attempts, self._failures, self._uncovered = self._keys[len(WAITING) :]
        self._add = script(client, "queue_add")
        self._claim = script(client, "queue_claim")
        self._release = script(client, "queue_release")

    def add(
        self,
        requests: Iterable[tuple[BackfillRequest, Priority]],
        *,
        not_before_ms: int | None = None,
        anew: bool = False,
    ) -> None:
        """Add requests. `not_before_ms`: exchange time. `anew`: their uncovered buckets are due at once."""
        wait = "" if not_before_ms is None else not_before_ms
        args = [a for request, priority in requests for a in (str(request), urgency(priority, request.timeframe), wait)]
        if args:
            self._add(keys=self._keys, args=[STEP_MS, int(anew), *args])

    def claim(self, exchange_ms: int) -> BackfillRequest | None:
        """Lease the most urgent request that is due at `exchange_ms`. Removes entries that are not requests."""
        while raw := self._claim(keys=self._keys, args=[exchange_ms, int(LEASE_S * 1000), STEP_MS]):
            for request in readable("backfill queue", [raw], BackfillRequest.parse):
                return request
            self._end_lease(raw, "done", "")
        return None

    def done(self, request: BackfillRequest) -> None:
        self._end_lease(request, "done", "")

    def settle(self, request: BackfillRequest, not_before_ms: int, priority: Priority | None = None) -> None:
        """After a response: check again once the exchange's clock has passed `not_before_ms`.

        `priority`: urgency of the rest, if it has changed.
        """
        self._end_lease(
            request, "settle", not_before_ms, "" if priority is None else urgency(priority, request.timeframe)
        )

    def postpone(self, request: BackfillRequest, not_before_ms: int) -> None:
        """Without a request: check again once the exchange's clock has passed `not_before_ms`. Tries still count."""
        self._end_lease(request, "postpone", not_before_ms)

    def retry(self, request: BackfillRequest, delay_s: float) -> int:
        """Retry after `delay_s` of real time. Returns the number of retries in a row."""
        return self._end_lease(request, "retry", int(delay_s * 1000))

    def attempts(self, request: BackfillRequest) -> int:
        """Number of failures of this request since its last response."""
        return int(self._client.hget(self._attempts, str(request)) or 0)

    def fail(self, request: BackfillRequest, reason: str, exchange_ms: int) -> None:
        """Give up. The `reason` stays on record until the series is complete."""
        self._end_lease(request, "fail", orjson.dumps({"reason": reason[:300], "exchange_ms": exchange_ms}))

    def uncovered(self, requests: Sequence[BackfillRequest]) -> list[tuple[Uncovered, ...]]:
        """The uncovered buckets of each request."""
        if not requests:
            return []
        rows = cast("list[bytes | None]", self._client.hmget(self._uncovered, [str(request) for request in requests]))
        return [tuple(Uncovered(*part) for part in orjson.loads(row)) if row else () for row in rows]

    def note_uncovered(self, request: BackfillRequest, uncovered: tuple[Uncovered, ...]) -> None:
        """Store the uncovered buckets of `request`."""
        if uncovered:
            self._client.hset(self._uncovered, str(request), orjson.dumps([list(part) for part in uncovered]))
        else:
            self._client.hdel(self._uncovered, str(request))

    def forget(self, products: Container[str]) -> int:
        """Drop the records of requests for all but `products`, the followed ones. Returns how many."""
        with self._client.pipeline(transaction=False) as pipe:
            for key in (self._failures, self._uncovered, self._attempts):
                pipe.hkeys(key)
            gone = [{name for name in names if _product_of(name) not in products} for names in pipe.execute()]
            for key, names in zip((self._failures, self._uncovered, self._attempts), gone, strict=True):
                if names:
                    pipe.hdel(key, *names)
            pipe.execute()
        return sum(map(len, gone))

    def _end_lease(
        self, request: BackfillRequest | bytes, verb: str, value: str | bytes | int, steps: str | int = ""
    ) -> int:
        name = request if isinstance(request, bytes) else str(request)
        return int(self._release(keys=self._keys, args=[name, verb, value, steps]))

    def state(self) -> QueueState:
        with self._client.pipeline(transaction=False) as pipe:
            for key in self._keys[: len(WAITING)]:
                pipe.zcard(key)
            return QueueState(*pipe.execute())

    def pending(self) -> set[BackfillRequest]:
        """All requests that wait or are claimed."""
        with self._client.pipeline(transaction=False) as pipe:
            for key in self._keys[: len(WAITING)]:
                pipe.zrange(key, 0, -1)
            members = chain.from_iterable(pipe.execute())
        return set(readable("backfill queue", members, BackfillRequest.parse))

    def priorities(self) -> dict[BackfillRequest, Priority]:
        """The priority of each request."""
        known = hash_at(self._client, self._urgency)
        return dict(readable("urgency of requests", known.items(), _with_priority))

    def failures(self) -> dict[BackfillRequest, dict[str, Any]]:
        """Requests that were given up, each with its `reason` and `exchange_ms`."""
        return dict(readable("failed requests", hash_at(self._client, self._failures).items(), _with_failure))


def _with_priority(entry: tuple[bytes, bytes]) -> tuple[BackfillRequest, Priority]:
    return BackfillRequest.parse(entry[0]), Priority(int(entry[1]) // len(Timeframe))


def _with_failure(entry: tuple[bytes, bytes]) -> tuple[BackfillRequest, dict[str, Any]]:
    row = orjson.loads(entry[1])
    return BackfillRequest.parse(entry[0]), {"reason": str(row["reason"]), "exchange_ms": int(row["exchange_ms"])}


def _product_of(request: bytes) -> str:
    """The product in the name of a request; empty if it is not a request."""
    return (*request.decode(errors="replace").split("|"), "")[1]

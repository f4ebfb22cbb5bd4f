"""Reads the values behind the metrics from Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias, cast

from app.backfill.rest import COUNTED
from app.context import Context
from app.query.status import Status
from app.storage import keys
from app.storage.connection import hash_at
from app.storage.entries import counts_of
from app.storage.queue import Kind
from app.storage.rejected import REJECTED
from app.tasks import DROPPED

Rows: TypeAlias = Mapping[tuple[str, ...], float]
"""Values by the values of their labels."""


class Sources(NamedTuple):
    """`rest`: requests by (reason, status). `dropped`: tasks by (queue). `rejected`: invalid entries, by (place).
    `open_gaps`: series with missing candles, by timeframe.

    `messages`: alert messages not yet delivered, by (channel, waiting or claimed).
    """

    status: Status
    rest: Rows
    dropped: Rows
    rejected: Rows
    open_gaps: Rows
    permits_in_use: int
    events: int
    alerts: int
    messages: Rows


def read_sources(context: Context, status: Status) -> Sources:
    """Raises redis' errors if Redis cannot be read."""
    channels = sorted(raw.decode() for raw in cast("set[bytes]", context.redis.smembers(keys.DELIVERY_CHANNELS)))
    parts = [(channel, part) for channel in channels for part in ("waiting", "claimed")]
    with context.redis.pipeline(transaction=False) as pipe:
        pipe.xlen(keys.EVENTS)
        pipe.zcard(keys.ALERTS)
        for channel, part in parts:
            pipe.zcard(keys.deliveries(channel, part))
        events, alerts, *waiting = pipe.execute()
    counters = counts_of(hash_at(context.redis, keys.COUNTERS))

    def counted(kind: str, labels: int = 1) -> Rows:
        """The counters of one kind, by their labels."""
        rows = {tuple(name.split(":", labels)): count for name, count in counters.items()}
        return {names[1:]: count for names, count in rows.items() if names[0] == kind and len(names) > labels}

    gaps = Counter(str(r.timeframe) for r in context.queue.pending() if r.kind is Kind.GAP)
    return Sources(
        status=status,
        rest=counted(COUNTED, 2),
        dropped=counted(DROPPED),
        rejected=counted(REJECTED),
        open_gaps={(str(t),): gaps[str(t)] for t in context.settings.timeframes},
        permits_in_use=context.budget.state().in_use,
        events=events,
        alerts=alerts,
        messages=dict(zip(parts, waiting, strict=True)),
    )

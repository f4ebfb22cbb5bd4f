"""Reads the values behind the metrics from Redis."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, cast

from app.context import Context
from app.query.status import Status
from app.storage import keys
from app.storage.connection import hash_at
from app.storage.entries import counts_of
from app.storage.queue import Kind
from app.storage.rejected import REJECTED
from app.storage.request_counters import PREFIX
from app.tasks import DROPPED


class Sources(NamedTuple):
    """`rest`: requests by (reason, status). `dropped`: tasks by (queue). `rejected`: invalid entries, by (place).
    `open_gaps`: series with missing candles, by timeframe.

    `messages`: alert messages not yet delivered, by (channel, waiting or claimed).
    """

    status: Status
    rest: dict[tuple[str, str], int]
    dropped: dict[tuple[str], int]
    rejected: dict[tuple[str], int]
    open_gaps: dict[str, int]
    permits_in_use: int
    events: int
    alerts: int
    messages: dict[tuple[str, str], int]


def read_sources(context: Context, status: Status) -> Sources:
    """Raises redis' errors if Redis cannot be read."""
    channels = sorted(raw.decode() for raw in cast("set[bytes]", context.redis.smembers(keys.delivery_channels())))
    parts = [(channel, part) for channel in channels for part in ("waiting", "claimed")]
    with context.redis.pipeline(transaction=False) as pipe:
        pipe.xlen(keys.EVENTS)
        pipe.zcard(keys.ALERTS)
        for channel, part in parts:
            pipe.zcard(keys.deliveries(channel, part))
        events, alerts, *waiting = pipe.execute()
    counters = counts_of(hash_at(context.redis, keys.COUNTERS))
    gaps = Counter(str(r.timeframe) for r in context.queue.pending() if r.kind is Kind.GAP)
    return Sources(
        status=status,
        rest=_rest(counters),
        dropped=_by_label(counters, DROPPED),
        rejected=_by_label(counters, REJECTED),
        open_gaps={str(t): gaps[str(t)] for t in context.settings.timeframes},
        permits_in_use=context.budget.state().in_use,
        events=events,
        alerts=alerts,
        messages=dict(zip(parts, waiting, strict=True)),
    )


def _rest(counters: dict[str, int]) -> dict[tuple[str, str], int]:
    found = {}
    for name, count in counters.items():
        what, _, rest = name.partition(":")
        if what == PREFIX:
            reason, _, status = rest.partition(":")
            found[reason, status] = count
    return found


def _by_label(counters: dict[str, int], kind: str) -> dict[tuple[str], int]:
    names = {name.partition(":")[::2]: count for name, count in counters.items()}
    return {(label,): count for (what, label), count in names.items() if what == kind}

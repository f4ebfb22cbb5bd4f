"""All keys and channels in Redis. `{…}` is the hash tag that keeps a product on one node."""

from __future__ import annotations

from app.market.series import Series

PREFIX = "cw:2"
EVENTS = f"{PREFIX}:events"
BUDGET = f"{PREFIX}:budget"
MISMATCHES = f"{PREFIX}:mismatches"
COUNTERS = f"{PREFIX}:counters"
PROCESSES = f"{PREFIX}:processes"
"""Processes of all hosts, by their last heartbeat."""
ALERTS = f"{PREFIX}:alerts"
"""Alert ids, by the end of their bar."""
RULES = f"{PREFIX}:rules"
"""Hash: the alert rules and channels in force (JSON), and their version."""
CELERY = f"{PREFIX}:celery:"
"""Prefix of all Celery keys."""
DELIVERY_CHANNELS = f"{PREFIX}:deliveries:channels"
"""Set: channels that ever received a message."""
QUEUES = ("indicators", "backfill", "reconcile", "alerts", "default")
"""Celery queues, one for each kind of work: a long backfill never delays a close."""


def candles(series: Series) -> str:
    return f"{PREFIX}:candles:{{{series.exchange}:{series.product}}}:{series.timeframe}"


def indicator(series: Series, name: str = "macdv") -> str:
    return f"{PREFIX}:indicator:{{{series.exchange}:{series.product}}}:{series.timeframe}:{name}"


def clock(exchange: str) -> str:
    return f"{PREFIX}:clock:{exchange}"


def products(exchange: str) -> str:
    """Hash: followed product to its state (JSON)."""
    return f"{PREFIX}:products:{exchange}"


def product_leases(exchange: str) -> str:
    """Hash: ingest process to the times of its product selection and of its last lease renewal (ms of Redis).

    Field `#`: revision of the followed products.
    """
    return f"{PREFIX}:products:{exchange}:leases"


def product_parts(exchange: str) -> str:
    """Hash: ingest process to its selected products. The empty name has the products of dead processes."""
    return f"{PREFIX}:products:{exchange}:parts"


def health(exchange: str) -> str:
    """Hash: ingest process to its connections (JSON)."""
    return f"{PREFIX}:health:{exchange}"


def heartbeats(host: str) -> str:
    """Hash: process id of one host to its last heartbeat (JSON)."""
    return f"{PREFIX}:heartbeats:{host}"


def backfill(exchange: str, part: str) -> str:
    return f"{PREFIX}:backfill:{exchange}:{part}"


def trust(exchange: str) -> str:
    """Number of closes that REST must confirm until the stream is trusted again; trusted if missing or 0."""
    return f"{PREFIX}:trust:{exchange}"


def last_run(task: str, exchange: str) -> str:
    """The last slot of exchange time for which a periodic task ran."""
    return f"{PREFIX}:last-run:{task}:{exchange}"


def alert(identity: str) -> str:
    """Hash: the alert (JSON), whether it was withdrawn, and the result of each of its messages."""
    return f"{PREFIX}:alert:{identity}"


def alerts_of(series: Series) -> str:
    """Ids of the alerts of one series, by the start of their bar."""
    return f"{PREFIX}:alerts:{{{series.exchange}:{series.product}}}:{series.timeframe}"


def deliveries(channel: str, part: str) -> str:
    """Part of one channel: its `waiting` messages, its `claimed` messages, or its `state`."""
    return f"{PREFIX}:deliveries:{channel}:{part}"


def forming_channel(exchange: str) -> str:
    """Forming candles, many per message. The other channels are one per series."""
    return f"candle:forming:{exchange}"

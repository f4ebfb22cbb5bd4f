"""Every key and channel in Redis, in one place. `{…}` is the hash tag that keeps a product on one node."""

from __future__ import annotations

from app.market.series import Series

PREFIX = "cw:2"
EVENTS = f"{PREFIX}:events"
BUDGET = f"{PREFIX}:budget"
MISMATCHES = f"{PREFIX}:mismatches"
COUNTERS = f"{PREFIX}:counters"
PROCESSES = f"{PREFIX}:processes"
"""Processes of all hosts, by when they were last heard."""
ALERTS = f"{PREFIX}:alerts"
"""Identities of alerts, by the end of their bar."""
CELERY = f"{PREFIX}:celery:"
"""Begins every key of Celery's."""
QUEUES = ("indicators", "backfill", "reconcile", "alerts", "default")
"""Celery's, one for each kind of waiting: a long backfill never delays a close."""


def candles(series: Series) -> str:
    return f"{PREFIX}:candles:{{{series.exchange}:{series.product}}}:{series.timeframe}"


def indicator(series: Series, name: str = "macdv") -> str:
    return f"{PREFIX}:indicator:{{{series.exchange}:{series.product}}}:{series.timeframe}:{name}"


def clock(exchange: str) -> str:
    return f"{PREFIX}:clock:{exchange}"


def products(exchange: str) -> str:
    """The products that this installation follows: a hash from product to its state, as JSON."""
    return f"{PREFIX}:products:{exchange}"


def product_leases(exchange: str) -> str:
    """A hash from ingest process to when it selected its products and when it last renewed its lease (ms of Redis).

    Its field `#` is the revision of the followed products.
    """
    return f"{PREFIX}:products:{exchange}:leases"


def product_parts(exchange: str) -> str:
    """A hash from ingest process to the products that it selected; those of dead ones under the empty name."""
    return f"{PREFIX}:products:{exchange}:parts"


def health(exchange: str) -> str:
    """A hash from ingest process to its connections, as JSON."""
    return f"{PREFIX}:health:{exchange}"


def heartbeats(host: str) -> str:
    """A hash from the process ids of one host to their last signs of life, as JSON."""
    return f"{PREFIX}:heartbeats:{host}"


def backfill(exchange: str, part: str) -> str:
    return f"{PREFIX}:backfill:{exchange}:{part}"


def disputes(exchange: str) -> str:
    """A hash from series to what REST says against what is certain, as packed records."""
    return backfill(exchange, "disputes")


def trust(exchange: str) -> str:
    """How many more closes REST must confirm before the stream is believed again; absent or 0: it is."""
    return f"{PREFIX}:trust:{exchange}"


def last_run(task: str, exchange: str) -> str:
    """The last slot of exchange time for which a periodic task was run."""
    return f"{PREFIX}:last-run:{task}:{exchange}"


def alert(identity: str) -> str:
    """A hash: the alert as JSON, whether it was withdrawn, and what became of each of its messages."""
    return f"{PREFIX}:alert:{identity}"


def alerts_of(series: Series) -> str:
    """Identities of the alerts of one series, by the start of their bar."""
    return f"{PREFIX}:alerts:{{{series.exchange}:{series.product}}}:{series.timeframe}"


def deliveries(channel: str, part: str) -> str:
    """Messages of one delivery channel: those that are `waiting`, those that are `claimed`, its `state`."""
    return f"{PREFIX}:deliveries:{channel}:{part}"


def delivery_channels() -> str:
    """A set: the delivery channels that ever got a message."""
    return f"{PREFIX}:deliveries:channels"


def forming_channel(exchange: str) -> str:
    """Candles that are still open, many in one message; the other channels have one a series."""
    return f"candle:forming:{exchange}"

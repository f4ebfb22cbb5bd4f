"""Count REST requests by reason and result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from app.errors import ExchangeError, Refused, Throttled
from app.storage import keys

PREFIX = "rest"


@contextmanager
def count_request(client: Redis, reason: str) -> Iterator[None]:
    """Count the request inside as `ok`, `throttled` (429), `refused` (for good) or `unavailable`."""
    status = "unavailable"
    try:
        yield
        status = "ok"
    except ExchangeError as error:
        status = "throttled" if isinstance(error, Throttled) else "refused" if isinstance(error, Refused) else status
        raise
    finally:
        client.hincrby(keys.COUNTERS, f"{PREFIX}:{reason}:{status}", 1)

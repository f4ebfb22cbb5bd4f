"""Log and count malformed input (a row, a name, an element) that is left out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from redis import Redis

from app.storage import keys

log = logging.getLogger(__name__)

REJECTED = "rejected"

MAX_NAMED = 10
"""Items named in one log line; the others are counted."""


def note(client: Redis, where: str, rejected: Sequence[str]) -> None:
    """Log `rejected`, each with its reason, and count them under `where`. Raises redis errors."""
    if not rejected:
        return
    more = f" and {len(rejected) - MAX_NAMED} more" if len(rejected) > MAX_NAMED else ""
    log.warning("%s: %d left out: %s%s", where, len(rejected), "; ".join(rejected[:MAX_NAMED]), more)
    client.hincrby(keys.COUNTERS, f"{REJECTED}:{where}", len(rejected))

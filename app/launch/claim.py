"""One Redis holds one market's prices: invented ones must never stand among real ones."""

from __future__ import annotations

from app.cache import keys
from app.cache.connection import connect
from app.errors import InvalidInput
from app.launch.redis import shown

KEY = f"{keys.PREFIX}:market"


def claim(url: str, origin: str) -> None:
    """Mark the Redis at `url` as holding prices of `origin`; `InvalidInput` where it holds those of another."""
    with connect(url) as client:
        client.set(KEY, origin, nx=True)
        holds = client.get(KEY)
    if isinstance(holds, bytes) and holds.decode(errors="replace") != origin:
        raise InvalidInput(
            f"the Redis at {shown(url)} holds prices of {holds.decode(errors='replace')}, and this start is for "
            f"{origin}: use another REDIS_URL or database, or remove the data that is no longer wanted"
        )

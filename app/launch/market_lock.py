"""One Redis holds one market's prices: invented ones must never mix with real ones."""

from __future__ import annotations

from app.errors import InvalidInput, Unready
from app.launch.redis import without_login
from app.storage import keys
from app.storage.connection import UNAVAILABLE, connect

KEY = f"{keys.PREFIX}:market"


def claim(url: str, origin: str) -> None:
    """Mark the Redis at `url` as holding prices of `origin`; `InvalidInput` if it holds other prices.

    Raises `Unready` if it cannot be written to, as a replica.
    """
    try:
        with connect(url) as client:
            client.set(KEY, origin, nx=True)
            holds = client.get(KEY)
    except UNAVAILABLE as error:
        raise Unready(f"Redis at {without_login(url)} cannot be written to: {error}") from None
    if isinstance(holds, bytes) and holds.decode(errors="replace") != origin:
        raise InvalidInput(
            f"the Redis at {without_login(url)} holds prices of {holds.decode(errors='replace')}, and this start is "
            f"for {origin}: use another REDIS_URL or database, or delete its data"
        )

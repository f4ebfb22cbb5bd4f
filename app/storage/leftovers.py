"""Data that is no longer used: of products that are not followed any more, and of an earlier version."""

from __future__ import annotations

from collections.abc import Container

from redis import Redis

from app.storage import keys

KEPT_S = 7 * 86_400
"""Real seconds. A product that is followed again within this time has its candles at once."""

KEYS_PER_SCAN = 1_000

EARLIER = "cw:1"


def sweep(client: Redis, exchange: str, followed: Container[str]) -> int:
    """Let the data of all but the `followed` products expire. Returns the number of keys that will expire."""
    expiring = 0
    for part in ("candles", "indicator", "alerts"):
        names = list(client.scan_iter(match=f"{keys.PREFIX}:{part}:{{{exchange}:*", count=KEYS_PER_SCAN))
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.ttl(name)
            for name, ttl_s in zip(names, pipe.execute(), strict=True):
                is_followed = _product_of(name) in followed
                if is_followed and ttl_s >= 0:
                    pipe.persist(name)
                elif not is_followed and ttl_s == -1:
                    pipe.expire(name, KEPT_S)
                expiring += not is_followed
            pipe.execute()
    return expiring


def earlier_version(client: Redis) -> str:
    """What to do about the data of an earlier version, which is not read; empty if none is found among 10,000 keys."""
    _, found = client.scan(0, match=f"{EARLIER}:*", count=10_000)
    if not found:
        return ""
    return (
        f"Redis holds data of an earlier version ({EARLIER}:*), which is not read: candles are fetched again. "
        f"To free its memory: redis-cli --scan --pattern '{EARLIER}:*' | xargs redis-cli unlink"
    )


def _product_of(name: bytes) -> str:
    """The product in a key's hash tag."""
    return name.decode().partition("{")[2].partition("}")[0].partition(":")[2]

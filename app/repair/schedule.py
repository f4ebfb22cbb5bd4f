"""Periodic work on the exchange's clock: beat ticks often, and one of all that hear it acts, once a slot."""

from __future__ import annotations

from redis import Redis

from app.cache import keys

KEPT_S = 86_400


def is_due(client: Redis, task: str, exchange: str, exchange_s: float, every_s: float) -> bool:
    """Whether the caller is the first to ask for `task` in this slot of `every_s` exchange seconds."""
    return bool(client.set(keys.slot(task, exchange, int(exchange_s // every_s)), 1, nx=True, ex=KEPT_S))

"""Periodic work on the exchange's clock: beat ticks often, and one process acts once per slot."""

from __future__ import annotations

from redis import Redis

from app.storage import keys


def is_due(client: Redis, task: str, exchange: str, exchange_s: float, every_s: float) -> bool:
    """Whether a new slot of `every_s` exchange seconds has begun and this is the first call in it.

    False at the very first call: a new installation does its first work anyway.
    """
    period = int(exchange_s // every_s)
    before = client.set(keys.last_run(task, exchange), period, get=True)
    return before is not None and int(before) != period

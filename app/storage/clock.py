"""The exchange's clock, as the last process that received it stored it."""

from __future__ import annotations

from typing import NamedTuple

from redis import Redis

from app.storage import keys
from app.storage.pipelining import raise_first, send_pipelined
from app.storage.scripts import script


class ExchangeTime(NamedTuple):
    """`exchange_ms`: exchange time in UNIX milliseconds. `age_ms`: real time since it was received."""

    exchange_ms: int
    age_ms: int

    @property
    def exchange_s(self) -> float:
        return self.exchange_ms / 1000


class ClockCache:
    """Stores the clock. Never extrapolates: it stops between two frames, whatever the machine's clock does."""

    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._key = keys.clock(exchange)
        self._set = script(client, "store_time")

    def set(self, exchange_ms: int) -> None:
        self._set(keys=[self._key], args=[exchange_ms])

    def read(self) -> ExchangeTime | None:
        """The newest known time; None if none was received yet."""
        answers = send_pipelined(self._client, [("HMGET", self._key, "exchange_ms", "received_ms"), ("TIME",)])
        raise_first(answers)
        (exchange_ms, received_ms), (seconds, micros) = answers
        if exchange_ms is None or received_ms is None:
            return None
        return ExchangeTime(int(exchange_ms), max(0, int(seconds) * 1000 + int(micros) // 1000 - int(received_ms)))

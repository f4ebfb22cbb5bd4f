"""Trust in the exchange's stream: learnt whenever REST confirms or corrects a candle that the stream closed.

It is not documented whether a bucket gets a last update at its end. If REST ever differs from an unbroken stream,
each close is stored as provisional and requested once it has settled, until the stream has been right often enough.
While it is right, this costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from redis import Redis

from app.market.candles import CandleState
from app.market.records import PROVISIONAL, STATE_MASK
from app.storage import keys
from app.storage.model import Outcome, Written

log = logging.getLogger(__name__)

PROBATION = 100
"""Closes that REST must confirm in a row before the stream is trusted again."""


class StreamTrust:
    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._key = keys.trust(exchange)

    @property
    def is_given(self) -> bool:
        """Whether closes of an unbroken stream need no confirmation by REST."""
        return int(self._client.get(self._key) or 0) <= 0

    def learn(self, written: Iterable[Written]) -> None:
        """Update the trust from the results of REST for candles that the stream had closed."""
        written = list(written)
        wrong = sum(_was_the_streams(w, i) for w in written for i in w.before)
        right = sum(outcome in (Outcome.CONFIRMED, Outcome.RESOLVED) for w in written for outcome in w.outcomes)
        if wrong:
            if self.is_given:
                log.warning("REST corrected %d candles of an unbroken stream: every close is now requested", wrong)
            self._client.set(self._key, PROBATION)
        elif right and not self.is_given and self._client.decrby(self._key, right) <= 0:
            log.info("REST confirmed %d closes in a row: the stream is trusted again", PROBATION)


def _was_the_streams(written: Written, i: int) -> bool:
    flags = int(written.before[i]["flags"][0])
    return flags & STATE_MASK == CandleState.CLOSED and not flags & PROVISIONAL

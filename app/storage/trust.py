"""How far the exchange's stream can be believed: learnt wherever REST confirms or corrects what the stream has closed.

It is not documented whether a bucket gets a last update at its end. If an answer of REST ever differs from what an
unbroken stream said, closes are taken as they are, and each is also asked for once it has settled, until the stream has
been right often enough again. While it is right, this costs nothing.
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
"""Closes that REST must confirm in a row before the stream is believed again."""


class StreamTrust:
    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._key = keys.trust(exchange)

    @property
    def is_given(self) -> bool:
        """Whether a close of an unbroken stream needs no confirmation of its own."""
        return int(self._client.get(self._key) or 0) <= 0

    def learn(self, written: Iterable[Written]) -> None:
        """Take in what REST said of candles that the stream had closed."""
        written = list(written)
        wrong = sum(_was_the_streams(w, i) for w in written for i in w.before)
        right = sum(outcome in (Outcome.CONFIRMED, Outcome.RESOLVED) for w in written for outcome in w.outcomes)
        if wrong:
            if self.is_given:
                log.warning("REST corrects %d candles of an unbroken stream: every close is now confirmed", wrong)
            self._client.set(self._key, PROBATION)
        elif right and not self.is_given and self._client.decrby(self._key, right) <= 0:
            log.info("the stream was right %d times in a row: it is believed again", PROBATION)


def _was_the_streams(written: Written, i: int) -> bool:
    flags = int(written.before[i]["flags"][0])
    return flags & STATE_MASK == CandleState.CLOSED and not flags & PROVISIONAL

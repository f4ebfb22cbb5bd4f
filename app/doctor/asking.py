"""Sends requests to REST at no more than the configured rate, and keeps what came."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.doctor.coinbase.evidence import Page, Response
from app.errors import ExchangeError, Throttled, Unavailable
from app.exchange.coinbase.rest import Query, candles_query
from app.exchange.http import Http
from app.market.timeframes import Timeframe
from app.util.stop import Stop

ATTEMPTS = 3
_PAUSE_S = 10.0
"""After a 429 without a time, doubled each time: who continues is blocked (403) before long."""
_RETRY_S = 1.0


class Pace:
    """At most `per_second` requests in any second: they are evenly spaced, without a burst."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = 1 / per_second
        self._clock = clock
        self._next_s = clock()
        self._pause_s = _PAUSE_S

    def wait_s(self) -> float:
        """Take the next moment; returns the seconds until then."""
        at_s = max(self._clock(), self._next_s)
        self._next_s = at_s + self._every_s
        return at_s - self._clock()

    def throttled(self, retry_after_s: float | None) -> None:
        """The exchange received too many requests."""
        self._next_s = self._clock() + (retry_after_s or self._pause_s)
        self._pause_s *= 2


class Asker:
    """Requests, one after the other, of one thread. Each response goes to `keep`, whatever it is.

    `exchange_ms`: the exchange's time now; 0 if it is unknown.
    """

    def __init__(
        self,
        http: Http,
        per_second: float,
        keep: Callable[[Response], None],
        exchange_ms: Callable[[], int],
        stop: Stop,
    ) -> None:
        self._http = http
        self._pace = Pace(per_second)
        self._keep = keep
        self._exchange_ms = exchange_ms
        self._stop = stop

    def candles(self, product: str, timeframe: Timeframe, first_s: int, last_s: int) -> Response | None:
        """The response about the buckets that start from `first_s` to `last_s`."""
        page = Page(product, timeframe, first_s, last_s)
        return self.ask(candles_query(product, timeframe, first_s, last_s), page)

    def ask(self, query: Query, page: Page | None = None) -> Response | None:
        """The response to `query`, after some attempts if it is unusable; None once stopped."""
        response = None
        for _ in range(ATTEMPTS):
            if self._stop.wait(self._pace.wait_s()):
                return None
            response, may_retry = self._once(query, page)
            self._keep(response)
            if not may_retry or self._stop.wait(_RETRY_S):
                break
        return response

    def _once(self, query: Query, page: Page | None) -> tuple[Response, bool]:
        """One response, and whether to try again."""
        path, params = query
        sent_ms, exchange_ms = _local_ms(), self._exchange_ms()
        status, text, problem, may_retry = 0, "", "", False
        try:
            reply = self._http.fetch(path, params)
            status, text = reply.status, reply.body.decode("utf-8", "replace")
            self._http.raise_for(path, reply)
        except Throttled as error:
            problem, may_retry = str(error), True
            self._pace.throttled(error.retry_after_s)
        except ExchangeError as error:
            problem, may_retry = str(error), isinstance(error, Unavailable)
        response = Response(
            path=path,
            params=params,
            sent_local_ms=sent_ms,
            received_local_ms=_local_ms(),
            wall_ms=time.time_ns() // 1_000_000,
            sent_exchange_ms=exchange_ms,
            received_exchange_ms=self._exchange_ms(),
            status=status,
            text=text,
            problem=problem,
        )
        return response.judged(page), may_retry


def _local_ms() -> int:
    return time.monotonic_ns() // 1_000_000

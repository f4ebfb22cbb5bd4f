"""REST within the request budget: permit, request, counter, pause after a 429, release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redis import Redis

from app.errors import Refused, Throttled
from app.exchange.adapter import ExchangeRest
from app.storage import keys
from app.storage.budget import Budget
from app.util.stop import Stop

T = TypeVar("T")

COUNTED = "rest"
"""Prefix of the counters of requests."""


class Permitted:
    """A permit for one request. `result`: None before it, then ok, throttled, refused (for good) or unavailable."""

    def __init__(self, rest: Callable[[], ExchangeRest], budget: Budget, client: Redis) -> None:
        self._rest = rest
        self._budget = budget
        self._client = client
        self.result: str | None = None

    def request(self, reason: str, call: Callable[[ExchangeRest], T]) -> T:
        """The response to `call`, counted by `reason` and result; a 429 pauses all workers. Raises `ExchangeError`."""
        self.result = "unavailable"
        try:
            response = call(self._rest())
            self.result = "ok"
        except Throttled as error:
            self.result = "throttled"
            self._budget.pause(error.retry_after_s, str(error))
            raise
        except Refused:
            self.result = "refused"
            raise
        finally:
            self._client.hincrby(keys.COUNTERS, f"{COUNTED}:{reason}:{self.result}", 1)
        return response


class BudgetedRest:
    """The exchange's REST for processes that share one budget. `rest` returns the calling thread's session."""

    def __init__(self, rest: Callable[[], ExchangeRest], budget: Budget, client: Redis) -> None:
        self._rest = rest
        self._budget = budget
        self._client = client

    @contextmanager
    def permit(self, *, timeout_s: float, stop: Stop | None = None) -> Iterator[Permitted | None]:
        """Wait for a permit; None if there was none within `timeout_s` or `stop` was set.

        It is released at the end of the block, or cancelled if nothing was requested.
        """
        permit = self._budget.acquire(timeout_s=timeout_s, stop=stop)
        if permit is None:
            yield None
            return
        permitted = Permitted(self._rest, self._budget, self._client)
        try:
            yield permitted
        finally:
            if permitted.result:
                self._budget.release(permit, answered=permitted.result == "ok")
            else:
                self._budget.cancel(permit)

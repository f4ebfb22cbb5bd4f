"""REST within the request budget: permit, request, counter, pause after a 429, release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from redis import Redis

from app.errors import Throttled
from app.storage.budget import Budget
from app.storage.request_counters import count_request
from app.util.stop import Stop

if TYPE_CHECKING:
    from app.exchange.coinbase.rest import CoinbaseRest

T = TypeVar("T")


class Permitted:
    """A permit for one request."""

    def __init__(self, send: Callable[[str, Callable[[CoinbaseRest], object]], object]) -> None:
        self._send = send
        self.is_used = False
        self.is_answered = False

    def request(self, reason: str, call: Callable[[CoinbaseRest], T]) -> T:
        """The response to `call`, counted under `reason`. Raises `ExchangeError`."""
        self.is_used = True
        response = self._send(reason, call)
        self.is_answered = True
        return response  # type: ignore[return-value]


class BudgetedRest:
    """The exchange's REST for processes that share one budget. `rest` returns the calling thread's session."""

    def __init__(self, rest: Callable[[], CoinbaseRest], budget: Budget, client: Redis) -> None:
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
        permitted = Permitted(self._request)
        try:
            yield permitted
        finally:
            if permitted.is_used:
                permit.release(answered=permitted.is_answered)
            else:
                permit.cancel()

    def _request(self, reason: str, call: Callable[[CoinbaseRest], T]) -> T:
        try:
            with count_request(self._client, reason):
                return call(self._rest())
        except Throttled as error:
            self._budget.pause(error.retry_after_s, str(error))
            raise

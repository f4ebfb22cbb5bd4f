"""What is asked of REST, and when: decided by the exchange's time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError

from app.doctor.asking import Asker
from app.doctor.coinbase.evidence import Response
from app.errors import Unavailable
from app.exchange.coinbase.rest import MAX_BUCKETS, TIME_QUERY, listing_query, read_products
from app.exchange.listing import Listing
from app.market.timeframes import BASE, Timeframe
from app.util.stop import Stop

_STEP_S = BASE.seconds
_WATCHED = 3
_COMPARED = 25
_MINUTES_BUCKETS = 60
_FEWER_BUCKETS = 100
_WATCHED_BUCKETS = 6
_TIME_EVERY_MS = 60_000
_TURN_S = 0.05


def read_listing(asker: Asker) -> Listing | None:
    """The listing, however many pages it has; None if a part of it cannot be read."""
    listing: Listing | None = None
    while listing is None or not listing.is_last:
        response = asker.ask(listing_query(listing))
        if response is None or not response.is_fine:
            return None
        try:
            listing = read_products(response.body, listing)
        except (Unavailable, ValidationError):
            return None
    return listing


class Questions:
    """Asks first about the form of REST's responses, then after each end of a bucket, at last about every product.

    `products`: the busiest first. `exchange_ms`: the exchange's time now; 0 while it is unknown.
    """

    def __init__(
        self, asker: Asker, products: Sequence[str], settling_s: float, exchange_ms: Callable[[], int], stop: Stop
    ) -> None:
        self._asker = asker
        self._products = products
        self._settling_s = settling_s
        self._exchange_ms = exchange_ms
        self._stop = stop
        self._finish = Stop()
        self._after_s = (2.0, 5.0, 10.0, 20.0, 40.0, settling_s + 2, settling_s + 60, settling_s + 150)
        """Seconds after the end of a bucket at which the watched products are requested."""

    def finish(self) -> None:
        """Ask the last questions, and end."""
        self._finish.set()

    def run(self) -> None:
        """Ask until `finish`, or the stop."""
        while not (self._exchange_ms() or self._stop.is_set() or self._finish.wait(_TURN_S)):
            pass
        if not self._exchange_ms():
            return
        busiest, thinnest = self._products[0], self._products[-1]
        self._limits(busiest)
        for product in dict.fromkeys((busiest, thinnest)):
            self._minutes(product)
        self._watch()
        for product in self._products[:_COMPARED]:
            self._candles(product, 0)

    @property
    def _now_s(self) -> float:
        return self._exchange_ms() / 1000

    def _candles(self, product: str, first_s: int) -> Response | None:
        """All buckets from `first_s` to the open one, as far as one page goes."""
        last_s = BASE.bucket(self._now_s)
        first_s = max(first_s, last_s - (MAX_BUCKETS - 1) * _STEP_S)
        return self._asker.candles(product, BASE, first_s, last_s)

    def _limits(self, product: str) -> None:
        """A page of the largest size, one of a bucket more, and a range whose ends had trades."""
        response = self._candles(product, 0)
        last_s = BASE.bucket(self._now_s)
        self._asker.candles(product, BASE, last_s - MAX_BUCKETS * _STEP_S, last_s)
        if response is None or response.status != 200:
            response = self._candles(product, last_s - _FEWER_BUCKETS * _STEP_S)
        if response is not None and (page := response.page) is not None:
            settled = sorted(s for s in page.rows if page.word(s) and page.is_settled(s, response, self._settling_s))
            if len(settled) > 1:
                self._asker.candles(product, BASE, settled[-2], settled[-1])

    def _minutes(self, product: str) -> None:
        """The same buckets in 5m and 1m."""
        last_s = BASE.last_over(self._now_s - self._settling_s)
        first_s = last_s - (_MINUTES_BUCKETS - 1) * _STEP_S
        self._asker.candles(product, BASE, first_s, last_s)
        self._asker.candles(product, Timeframe.M1, first_s, last_s + _STEP_S - Timeframe.M1.seconds)

    def _watch(self) -> None:
        """Ask about the newest buckets after each end, and for the time, until `finish`."""
        middle = len(self._products) // 2
        watched = list(dict.fromkeys((self._products[0], self._products[middle], self._products[-1])))[:_WATCHED]
        done, asked_ms = (0, 0), 0
        while not (self._finish.is_set() or self._stop.is_set()):
            open_s = BASE.bucket(self._now_s)
            due = open_s, sum(after_s <= self._now_s - open_s for after_s in self._after_s)
            if self._exchange_ms() - asked_ms >= _TIME_EVERY_MS:
                asked_ms = self._exchange_ms()
                self._asker.ask(TIME_QUERY)
            elif due[1] and due != done:
                done = due
                for product in watched:
                    self._candles(product, open_s - _WATCHED_BUCKETS * _STEP_S)
            else:
                self._finish.wait(_TURN_S)

"""Assumptions about the form of REST's responses. Pure."""

from __future__ import annotations

from statistics import median
from typing import Any

from app.doctor.coinbase.assumption import Assumption
from app.doctor.coinbase.buckets import Bucket, shown
from app.doctor.coinbase.evidence import Frame, Response
from app.doctor.finding import Problems, Verdict, counted, verdict
from app.exchange.coinbase.rest import LISTING_PATH, MAX_BUCKETS, THROTTLED
from app.market.timeframes import BASE, Timeframe

_OPEN_MS = 5_000
"""REST must show a bucket so long after its first update."""
_AFTER_MS = 2_000
"""A frame that comes so long after a response shows that the bucket was open until then."""


class RestAnswers(Assumption):
    name = "rest-answers"
    used_for = "Missing candles are fetched from REST; what it does not answer stays missing."

    def __init__(self) -> None:
        self._took_ms: list[int] = []
        self._failed = Problems()

    def response(self, response: Response) -> None:
        self._took_ms.append(response.received_local_ms - response.sent_local_ms)
        page = response.page
        if response.status not in (200, 400, *THROTTLED) or (response.status == 200 and response.problem):
            self._failed.add(response.problem)
        elif page is not None and page.unreadable:
            self._failed.add(f"{response.path}: {counted(page.unreadable, 'invalid row')}")

    def conclusion(self) -> tuple[str, Verdict]:
        if not self._took_ms:
            return "nothing was requested", Verdict.UNSEEN
        seen = (
            f"{counted(len(self._took_ms), 'request')}, {len(self._failed)} without a usable response"
            f"{self._failed}; {median(self._took_ms):.0f} ms in the median, {max(self._took_ms)} ms at most"
        )
        return seen, verdict(True, not self._failed)


class NotThrottled(Assumption):
    name = "not-throttled"
    used_for = "At the configured rate the exchange answers; a 429 pauses all workers."

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._requests = 0
        self._throttled = Problems()

    def response(self, response: Response) -> None:
        self._requests += 1
        if response.status in THROTTLED:
            self._throttled.add(response.problem)

    def conclusion(self) -> tuple[str, Verdict]:
        seen = (
            f"{counted(self._requests, 'request')} at no more than {self._per_second:g} per second: "
            f"{len(self._throttled)} throttled{self._throttled}"
        )
        return seen, verdict(self._requests, not self._throttled)


class ListingComplete(Assumption):
    name = "listing-complete"
    used_for = "A selection such as all:USD means every product; one that is missing is delisted."

    def __init__(self) -> None:
        self._products: set[str] = set()
        self._pages = 0
        self._stated: object = None

    def response(self, response: Response) -> None:
        body: Any = response.body if response.path == LISTING_PATH and response.is_fine else None
        if isinstance(body, dict) and isinstance(rows := body.get("products"), list):
            self._pages += 1
            self._stated = body.get("num_products")
            self._products.update(str(row.get("product_id")) for row in rows if isinstance(row, dict))

    def conclusion(self) -> tuple[str, Verdict]:
        if not self._pages:
            return "the listing could not be read", Verdict.UNSEEN
        pages, products = counted(self._pages, "page"), counted(len(self._products), "product")
        return f"{products} in {pages}; num_products {self._stated}", verdict(True, self._stated == len(self._products))


class PageLimit(Assumption):
    name = "rest-page-limit"
    used_for = f"History is fetched in pages of {MAX_BUCKETS} buckets."

    def __init__(self) -> None:
        self._full: Response | None = None
        self._over: Response | None = None

    def response(self, response: Response) -> None:
        if response.page is not None and response.status in (200, 400):
            if response.page.buckets == MAX_BUCKETS:
                self._full = response
            elif response.page.buckets == MAX_BUCKETS + 1:
                self._over = response

    def conclusion(self) -> tuple[str, Verdict]:
        full, over = self._full, self._over
        if full is None or over is None:
            return "no response to both requests", Verdict.UNSEEN
        seen = f"{MAX_BUCKETS} buckets: {_result(full)}; {MAX_BUCKETS + 1}: {_result(over)}"
        return seen, verdict(True, full.status == 200 and over.status == 400)


def _result(response: Response) -> str:
    rows = len(response.page.rows) if response.page else 0
    return f"200 with {counted(rows, 'row')}" if response.status == 200 else response.problem.partition(": ")[2]


class NewestFirst(Assumption):
    name = "rest-newest-first"
    used_for = "Rows are sorted after reading, so another order costs nothing; it shows that the API has changed."

    def __init__(self) -> None:
        self._pages = self._other = 0

    def response(self, response: Response) -> None:
        page = response.page
        if page is not None and len(page.order) > 1:
            self._pages += 1
            self._other += page.order != tuple(sorted(page.order, reverse=True))

    def conclusion(self) -> tuple[str, Verdict]:
        return f"{counted(self._pages, 'page')}, {self._other} in another order", verdict(self._pages, not self._other)


class RangeInclusive(Assumption):
    """Judged by buckets that an earlier response proved to have trades."""

    name = "rest-range-inclusive"
    used_for = "A request names the starts of the first and the last bucket; both are in the response."

    def __init__(self, settling_s: float) -> None:
        self._settling_s = settling_s
        self._known: set[tuple[str, Timeframe, int]] = set()
        self._ends = 0
        self._missing = Problems()

    def response(self, response: Response) -> None:
        page = response.page
        if page is None or not response.is_fine:
            return
        for name, start_s in (("start", page.first_s), ("end", page.last_s)):
            if (page.product, page.timeframe, start_s) in self._known:
                self._ends += 1
                if start_s not in page.rows:
                    self._missing.add(f"{name} of {shown((page.product, start_s))}")
        settled = (s for s in page.rows if page.is_settled(s, response, self._settling_s))
        self._known.update((page.product, page.timeframe, start_s) for start_s in settled)

    def conclusion(self) -> tuple[str, Verdict]:
        if not self._ends:
            return "no range began or ended at a bucket known to have trades", Verdict.UNSEEN
        seen = f"{counted(self._ends, 'first or last bucket', 'first and last buckets')} requested, "
        return f"{seen}{len(self._missing)} missing{self._missing}", verdict(True, not self._missing)


class EmptyLeftOut(Assumption):
    name = "rest-empty-left-out"
    used_for = "A bucket without a row, between two that have one, had no trades."

    def __init__(self) -> None:
        self._empty: set[tuple[Timeframe, Bucket]] = set()
        self._absent: set[tuple[Timeframe, Bucket]] = set()

    def response(self, response: Response) -> None:
        if (page := response.page) is not None:
            for start_s in page.covered():
                if page.word(start_s) is None:
                    found = self._empty if start_s in page.rows else self._absent
                    found.add((page.timeframe, (page.product, start_s)))

    def conclusion(self) -> tuple[str, Verdict]:
        if not self._empty and not self._absent:
            return "every bucket had trades", Verdict.UNSEEN
        seen = f"{counted(len(self._absent), 'bucket')} without a row, {len(self._empty)} with a row without volume"
        return seen, verdict(True, not self._empty)


class OpenBucketShown(Assumption):
    name = "rest-open-bucket"
    used_for = "A response covers buckets up to before its newest row; with the open one, that is all that are over."

    def __init__(self) -> None:
        self._first_ms: dict[Bucket, int] = {}
        self._waiting: list[tuple[int, int, bool]] = []  # a bucket, when the response came (local), if it had the row
        self._shown = self._missing = 0

    def frame(self, frame: Frame) -> None:
        if frame.envelope is None:
            return
        for product, start_s, _ in frame.updates:
            self._first_ms.setdefault((product, start_s), frame.envelope.time_ms)
        while self._waiting and frame.local_ms >= self._waiting[0][1] + _AFTER_MS:
            open_s, _, is_shown = self._waiting.pop(0)
            if open_s == BASE.bucket(frame.envelope.time_ms / 1000):
                self._shown += is_shown
                self._missing += not is_shown

    def response(self, response: Response) -> None:
        page = response.page
        if page is None or page.timeframe is not BASE or not response.is_fine:
            return
        open_s = BASE.bucket(response.sent_exchange_ms / 1000)
        first_ms = self._first_ms.get((page.product, open_s))
        if page.last_s >= open_s and first_ms is not None and response.sent_exchange_ms - first_ms >= _OPEN_MS:
            self._waiting.append((open_s, response.received_local_ms, open_s in page.rows))

    def conclusion(self) -> tuple[str, Verdict]:
        both = self._shown + self._missing
        if not both:
            return "no response while a bucket with trades was open", Verdict.UNSEEN
        return f"{self._shown} of {counted(both, 'response')} had it", verdict(True, not self._missing)

"""The exchange's REST as a `requests` session: responses of the truth, or changed by a fault."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
import requests

from tests.simulation.market import STEP_S, Bar, TradeLog, text_of
from tests.simulation.scheduler import Scheduler

STEPS_S = {
    "ONE_MINUTE": 60,
    "FIVE_MINUTE": STEP_S,
    "FIFTEEN_MINUTE": 900,
    "THIRTY_MINUTE": 1800,
    "ONE_HOUR": 3600,
    "TWO_HOUR": 7200,
    "FOUR_HOUR": 14_400,
    "SIX_HOUR": 21_600,
    "ONE_DAY": 86_400,
}
PAGE = 350
TIME_OUT_S = 10.0


@dataclass
class Reply:
    """The part of `requests.Response` that the project reads."""

    status_code: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> Reply:
        return self

    def read1(self, *_: Any, **__: Any) -> bytes:
        body, self.body = self.body, b""
        return body

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class CandleRequest:
    """A request for candles, as a fault receives it: trades, bars, and its time (exchange time in ms)."""

    trade_log: TradeLog
    step_s: int
    first_s: int
    last_s: int
    now_ms: int

    def as_of(self, at_ms: int, *, half: bool = True) -> list[Bar]:
        """The response as of `at_ms`; `half`: with the bar of the bucket that was open then."""
        open_s = at_ms // 1000 // self.step_s * self.step_s
        bars = self.trade_log.bars(self.step_s, self.first_s, min(self.last_s, open_s - self.step_s))
        if half and self.first_s <= open_s <= self.last_s and (bar := self.trade_log.partial(self.step_s, at_ms)):
            bars.append(bar)
        return bars


Spoiler = Callable[[CandleRequest, list[Bar]], "list[Bar] | Reply"]
"""Changes a correct response, or returns an error instead."""


class Venue:
    """One exchange: trade logs, REST, and active faults. `requests_us`: arrival of each request.

    `pages_us`: times of each page (product, seconds of a bucket, first and last start).
    """

    def __init__(self, scheduler: Scheduler, trade_logs: dict[str, TradeLog], chance: random.Random) -> None:
        self.trade_logs = trade_logs
        self.scheduler = scheduler
        self.chance = chance
        self.requests_us: list[int] = []
        self.pages_us: defaultdict[tuple[str, int, int, int], list[int]] = defaultdict(list)
        self.candle_requests = 0
        self.listed: dict[str, bool] = dict.fromkeys(trade_logs, True)
        self.spoilers: list[Spoiler] = []
        self.latency_s = (0.05, 0.4)
        self.down = False
        self.hang = 0.0
        self.leap_ms = 0
        """Offset of the clock in frames."""
        self.note: Callable[[str, str], None] | None = None
        self.rest_leaps = False
        """Whether /time has the offset too."""

    @property
    def now_ms(self) -> int:
        return self.scheduler.now_ms

    def get(self, url: str, params: dict[str, str], **_: Any) -> Reply:
        """Called by an actor: wait for the response."""
        actor = self.scheduler.current
        assert actor is not None
        actor.sleep(self.chance.uniform(*self.latency_s) / 2)
        self.requests_us.append(self.scheduler.now_us)
        if self.hang and self.chance.random() < self.hang:
            actor.sleep(TIME_OUT_S)
            raise requests.exceptions.ReadTimeout("read timed out")
        path = url.partition("/api/v3/brokerage")[2]
        reply = self._answer(path, params)
        if self.note is not None:
            self.note(actor.name, f"REST {path} {' '.join(params.values())} -> {reply.status_code}, {_rows(reply)}")
        actor.sleep(self.chance.uniform(*self.latency_s) / 2)
        return reply

    def _answer(self, path: str, params: dict[str, str]) -> Reply:
        if self.down:
            return Reply(503, b"<html>")
        if path == "/time":
            now_ms = self.now_ms + (self.leap_ms if self.rest_leaps else 0)
            return Reply(200, orjson.dumps({"epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)}))
        if path == "/market/products":
            return Reply(200, orjson.dumps({"products": [_listing(p) for p, on in self.listed.items() if on]}))
        return self._candles(unquote(path.split("/")[3]), params)

    def _candles(self, product: str, params: dict[str, str]) -> Reply:
        self.candle_requests += 1
        trade_log = self.trade_logs.get(product)
        if trade_log is None or not self.listed[product]:
            return Reply(404, orjson.dumps({"error": "NOT_FOUND", "message": f"Product {product} not supported"}))
        step_s = STEPS_S[params["granularity"]]
        request = CandleRequest(trade_log, step_s, int(params["start"]), int(params["end"]), self.now_ms)
        if (request.last_s - request.first_s) // step_s >= PAGE:
            return Reply(400, orjson.dumps({"error": "INVALID_ARGUMENT"}))
        bars = request.as_of(self.now_ms)
        for spoiler in self.spoilers:
            spoilt = spoiler(request, bars)
            if isinstance(spoilt, Reply):
                return spoilt
            bars = spoilt
        self.pages_us[product, step_s, request.first_s, request.last_s].append(self.scheduler.now_us)
        return Reply(200, b'{"candles":[' + b",".join([text_of(bar) for bar in reversed(bars)]) + b"]}")


def _rows(reply: Reply) -> str:
    starts = re.findall(rb'"start":"(\d+)"', reply.body)
    return f"{len(starts)} rows from {int(starts[-1])} to {int(starts[0])}" if starts else f"{len(reply.body)} bytes"


def _listing(product: str) -> dict[str, Any]:
    base, _, quote = product.partition("-")
    return {
        "product_id": product,
        "status": "online",
        "product_type": "SPOT",
        "base_currency_id": base,
        "quote_currency_id": quote,
        "alias": "",
        "price": "2000",
        "volume_24h": "1000",
        "approximate_quote_24h_volume": str(1_000_000 + len(product)),
    }

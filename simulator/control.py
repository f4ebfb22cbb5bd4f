"""The controls under `/local/`: clock, truth, ledger and faults, as JSON."""

from __future__ import annotations

import asyncio
from math import isfinite

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from simulator.clock import MAX_SPEED, ExchangeClock
from simulator.fault_injector import FaultInjector
from simulator.faults import Faults, catalogue
from simulator.feed import Feed
from simulator.frames import rfc3339_nano
from simulator.ledger import Ledger
from simulator.listing import ProductPages
from simulator.replies import Reply
from simulator.trade_log import TradeLog

MAX_TRUTH = 50_000
"""Candles in one response."""


class ClockChange(BaseModel):
    """A change of the clock; speed 0 pauses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_ms: int | None = Field(None, gt=0)
    jump_ms: int | None = None
    speed: float | None = Field(None, ge=0, le=MAX_SPEED)


class Control:
    """Answers requests under `/local/`. They are neither limited nor in the ledger."""

    def __init__(
        self,
        trade_log: TradeLog,
        clock: ExchangeClock,
        ledger: Ledger,
        faults: Faults,
        injector: FaultInjector,
        feed: Feed,
    ) -> None:
        self._trade_log = trade_log
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._injector = injector
        self._feed = feed
        self._listing = ProductPages(trade_log, clock)

    async def answer(self, request: web.Request) -> Reply:
        try:
            return _json(await self._result(request))
        except InvalidInput as problem:
            return _json({"error": str(problem)}, 400)

    async def _result(self, request: web.Request) -> object:
        match request.method, request.path.removeprefix("/local/").strip("/"):
            case "GET", "clock":
                return self._time()
            case "POST", "clock":
                return self._change_clock(await request.read())
            case "GET", "truth":
                return await asyncio.to_thread(self._truth, request)  # may compute months of trades
            case "GET", "products":
                return await asyncio.to_thread(self._listing.page, {})
            case "GET", "streams":
                return {"streams": self._streams()}
            case "GET", "ledger":
                return self._ledger.as_dict(_number(request, "since", 0.0))
            case "GET", "faults":
                return {"active": self._active(), "known": catalogue()}
            case "POST", "faults":
                return {"number": await self._injector.inject(_parsed(await request.read()))}
            case "DELETE", "faults":
                return {"removed": self._faults.remove(request.query.get("fault"))}
            case method, path:
                raise InvalidInput(f"{method} /local/{path}: use clock, truth, products, streams, ledger or faults")

    def _time(self) -> dict[str, object]:
        now_ns = self._clock.now_ns()
        return {"exchange_ms": now_ns // 1_000_000, "iso": rfc3339_nano(now_ns), "speed": self._clock.speed}

    def _change_clock(self, body: bytes) -> dict[str, object]:
        try:
            change = ClockChange.model_validate_json(body)
        except ValidationError as problem:
            details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors())
            raise InvalidInput(f"clock: {details}") from None
        if change.set_ms is not None:
            self._clock.set(change.set_ms)
        if change.jump_ms is not None:
            self._clock.jump(change.jump_ms)
        if change.speed is not None:
            self._clock.set_speed(change.speed)
        return self._time()

    def _truth(self, request: web.Request) -> object:
        product = self._trade_log.known(request.query.get("product", ""))
        timeframe = Timeframe.parse(request.query.get("timeframe", ""))
        now_ms = self._clock.now_ms()
        start_s, end_s = int(_number(request, "start", None)), int(_number(request, "end", now_ms / 1000))
        if (end_s - start_s) // timeframe.seconds > MAX_TRUTH:
            raise InvalidInput(f"truth: more than {MAX_TRUTH} buckets: request a shorter range")
        return {"candles": self._trade_log.truth(product, timeframe, start_s, end_s, now_ms)}

    def _streams(self) -> list[dict[str, object]]:
        return [
            {"connection": number, **{channel: sorted(products) for channel, products in c.subscriptions.items()}}
            for number, c in self._feed.connections.items()
        ]

    def _active(self) -> list[dict[str, object]]:
        return [{"number": a.number, "left": a.left, **a.fault.model_dump()} for a in self._faults.active()]


def _parsed(body: bytes) -> object:
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise InvalidInput(f"the body is not JSON: {problem}") from None
    return parsed


def _number(request: web.Request, name: str, default: float | None) -> float:
    text = request.query.get(name)
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not isfinite(value) or abs(value) > 2**53:
        raise InvalidInput(f"{name}: {text!r} is not a number: use seconds")
    return value


def _json(content: object, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(content))

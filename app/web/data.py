"""`/v1/products`, `/v1/candles`, `/v1/indicators`: the data itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Response
from starlette.concurrency import run_in_threadpool

from app.indicators.window import WINDOW
from app.query.lookup import Lookup, Newest
from app.query.rows import candle_json, candle_pieces
from app.web.answers import json_answer, long_answer
from app.web.coalescing import RequestCoalescer
from app.web.queries import CandleQuery, IndicatorQuery
from app.web.schemas import ErrorAnswer
from app.wire.candles import CandlesAnswer
from app.wire.indicators import IndicatorsAnswer, ProductsAnswer

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "Invalid parameter; the message names it and the reason."},
    404: {"model": ErrorAnswer, "description": "The product or timeframe is not followed here."},
    503: {"model": ErrorAnswer, "description": "Redis is unavailable, or there is no data yet: try again."},
    "default": {"model": ErrorAnswer, "description": "Any other error, in the same shape."},
}

Product = Annotated[str, Path(description="A followed product; case does not matter.", examples=["BTC-USD"])]


def router(lookup: Lookup) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["data"])

    @routes.get("/products", responses={200: {"model": ProductsAnswer}, 503: ERRORS[503]})
    def products() -> Response:
        """Every followed product, with its newest indicators in short."""
        return json_answer(lookup.products())

    def look(asked: Sequence[Newest]) -> list[bytes | Exception]:
        answers = lookup.newest(asked, candle_json)
        return [answer if isinstance(answer, Exception) else orjson.dumps(answer) for answer in answers]

    together = RequestCoalescer(look)

    @routes.get("/candles/{product}", responses={200: {"model": CandlesAnswer}, **ERRORS})
    async def candles(product: Product, query: Annotated[CandleQuery, Query()]) -> Response:
        """Candles of one product, oldest first, the forming one included."""
        limit = query.limit or WINDOW
        if query.start is None and query.end is None and limit <= WINDOW:  # nearly every request
            return json_answer(await together.request(Newest(product, query.timeframe, limit)))
        found = await run_in_threadpool(
            lookup.candles,
            product,
            query.timeframe,
            start_s=query.start,
            end_s=query.end,
            limit=query.limit,
            rows=candle_pieces,
        )
        return long_answer(found, "candles")

    @routes.get("/indicators/{product}", responses={200: {"model": IndicatorsAnswer}, **ERRORS})
    def indicators(product: Product, query: Annotated[IndicatorQuery, Query()]) -> Response:
        """MACD-V of one product's newest closed candles, oldest first, and the basis of the values."""
        return json_answer(lookup.indicators(product, query.timeframe, limit=query.limit))

    return routes

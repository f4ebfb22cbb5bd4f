"""The route `/v1/stream`: its parameters, and how its answer is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.types import Send

from app.events import KEPT_KINDS, EventId, Wanted
from app.market.timeframes import BASE, Timeframe
from app.query.lookup import Lookup
from app.web.data import ERRORS
from app.web.stream.hub import Hub

EXAMPLE = """retry: 1000
id: 1738324800250-0

id: 1738325102113-4
event: close
data: {"exchange":"coinbase","product":"BTC-USD","timeframe":"5m","start":1738324800,"open":102405.1,"high":102410.0,\
"low":102266.4,"close":102301.2,"volume":17.9,"trades":true,"state":"closed"}

id: 1738325102131-0
event: indicator
data: {"exchange":"coinbase","product":"BTC-USD","timeframe":"5m","start":1738324800,"ready":true,"macdv":-38.1}

: heartbeat
id: 1738325102131-0

"""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The second one stops a proxy from buffering events."""

MAX_NAMES = 1_000


def _split(value: object) -> object:
    """`a,b` and repeated parameters mean the same."""
    if not isinstance(value, list | tuple):
        return value
    return [part.strip() for text in value for part in str(text).split(",") if part.strip()]


Names = Annotated[frozenset[str], BeforeValidator(_split)]
Kind = Literal["close", "correction", "indicator", "alert", "alert_state", "forming"]
Kinds = Annotated[frozenset[Kind], BeforeValidator(_split)]
Timeframes = Annotated[frozenset[Timeframe], BeforeValidator(_split)]


class StreamQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    products: Names = Field(
        frozenset(), max_length=MAX_NAMES, description="Comma separated (`BTC-USD,ETH-USD`); all if absent."
    )
    timeframes: Timeframes = Field(frozenset(), description="Comma separated (`5m,1h`); all if absent.")
    kinds: Kinds = Field(
        frozenset(),
        description="Comma separated: `close`, `correction`, `indicator`, `alert`, `alert_state` (withdrawn or "
        "restored), all by default; and `forming`.",
    )
    last_event_id: str = Field("", description="For a client that cannot send the header `Last-Event-ID`.")


class EventStreamResponse(StreamingResponse):
    """A stream whose source is closed as soon as the client is gone, not at its garbage collection."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        assert isinstance(self.body_iterator, AsyncGenerator)
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


def router(hub: Hub, lookup: Lookup) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["stream"])
    description = "Endless server-sent events. A `gap` event reports that events were lost."
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": description, "content": {"text/event-stream": {"example": EXAMPLE}}},
        **ERRORS,
    }

    @routes.get("/stream", responses=answers, response_class=Response)
    async def stream(
        query: Annotated[StreamQuery, Query()],
        last_event_id: Annotated[
            str, Header(description="The last id that was received: the stream resumes right after it.")
        ] = "",
    ) -> Response:
        """Closes, corrections, indicators and alerts as they happen; on request also forming candles.

        Each event has an id. A client that reconnects with the last id that it received gets every later event once;
        if some are no longer kept, a `gap` event comes first. Without an id the stream begins now. Ids also come
        without an event (in heartbeats, every 15 seconds): they count. `forming` events have no id and are not
        repeated.
        """
        wanted = Wanted(query.kinds or frozenset(KEPT_KINDS), query.products, query.timeframes)
        await run_in_threadpool(check, wanted, lookup)
        after = last_event_id or query.last_event_id  # a browser that reconnects sends the header
        position = await hub.begin(EventId.parse(after) if after else None)
        return EventStreamResponse(hub.follow(wanted, position), headers=HEADERS)

    return routes


def check(wanted: Wanted, lookup: Lookup) -> None:
    """Raises `NotFollowed` if a wanted product or timeframe is not followed."""
    for timeframe in wanted.timeframes:
        lookup.check_timeframe(Timeframe(timeframe))
    for product in wanted.products:
        lookup.series(product, BASE)

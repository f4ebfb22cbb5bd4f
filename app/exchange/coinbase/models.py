"""Validates the exchange's data: frames, candles, products. Unknown fields are ignored, wrong ones are rejected.

For any input, `decode` either returns one of the messages below or raises `BadFrame`, and nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from app.exchange.frames import MAX_FRAME_BYTES, Amount, BadFrame, check_decimals, why
from app.exchange.listing import ListedProduct
from app.exchange.wire_time import parse_ms
from app.market.candles import CandleState, UnifiedCandle
from app.market.timeframes import Timeframe

EXCHANGE = "coinbase"
"""Name of this exchange in every event and key."""


class Envelope(NamedTuple):
    """The envelope of every channel. `time_ms`: the exchange's clock at sending (UNIX milliseconds)."""

    channel: str
    time_ms: int
    sequence_num: int
    events: list[Any]

    @classmethod
    def read(cls, frame: dict[str, Any]) -> Envelope:
        """The envelope of `frame`; `BadFrame` names the first wrong field.

        Checked by hand: this runs some thousand times per second.
        """
        channel, timestamp = frame.get("channel"), frame.get("timestamp")
        number, events = frame.get("sequence_num"), frame.get("events")
        if type(channel) is not str:
            raise BadFrame("bad envelope", "channel is not a string")
        if type(timestamp) is not str:
            raise BadFrame("bad envelope", "timestamp is not a string")
        if type(number) is not int or not 0 <= number < 2**53:
            raise BadFrame("bad envelope", "sequence_num is not a count")
        if type(events) is not list:
            raise BadFrame("bad envelope", "events is not a list")
        try:
            return cls(channel, parse_ms(timestamp), number, events)
        except ValueError as error:
            raise BadFrame("bad envelope", f"timestamp: {error}") from None


class VenueError(BaseModel):
    """An error frame; it has no sequence number and answers a request."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    message: str = ""


class Acknowledgement(BaseModel):
    """Everything that the connection is subscribed to: channel to product ids."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    subscriptions: dict[str, list[str]]


Message: TypeAlias = Envelope | VenueError


def decode(data: str | bytes) -> Message:
    """The message in one frame of text; `BadFrame` if it is invalid."""
    if len(data) > MAX_FRAME_BYTES:
        raise BadFrame("frame too large", f"{len(data)} bytes")
    try:
        frame = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadFrame("not JSON", str(error)) from None
    if not isinstance(frame, dict):
        raise BadFrame("not an object")
    try:
        if frame.get("type") == "error" and "channel" not in frame:
            return VenueError.model_validate(frame)
    except ValidationError as error:
        raise BadFrame("bad error frame", why(error)) from None
    return Envelope.read(frame)


def read_candle(
    row: dict[str, Any], product: str, timeframe: Timeframe, state: CandleState, observed_ms: int
) -> UnifiedCandle:
    """The candle in `row`, of the stream or REST; `BadFrame` if it is invalid."""
    try:
        texts = (row["start"], row["open"], row["high"], row["low"], row["close"], row["volume"])
        check_decimals(texts)
        return UnifiedCandle.model_validate(
            {
                "exchange": EXCHANGE,
                "product": product,
                "timeframe": timeframe,
                "start_s": int(texts[0]),
                "open": float(texts[1]),
                "high": float(texts[2]),
                "low": float(texts[3]),
                "close": float(texts[4]),
                "volume": float(texts[5]),
                "state": state,
                "observed_ms": observed_ms,
            }
        )
    except ValidationError as error:
        raise BadFrame("bad candle", why(error)) from None
    except (KeyError, TypeError):
        raise BadFrame("bad candle", "a number is missing or not a string") from None
    except ValueError as error:
        raise BadFrame("bad candle", str(error)) from None


class ProductRow(BaseModel):
    """One row of the product listing: the fields that decide whether, and how, a product is followed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    product_id: str
    status: str = ""
    product_type: str = ""
    quote_currency_id: str = ""
    alias: str = ""
    trading_disabled: bool = False
    is_disabled: bool = False
    view_only: bool = False
    price: Amount = 0.0
    volume_24h: Amount = 0.0
    approximate_quote_24h_volume: Amount = 0.0
    cancel_only: bool = False
    auction_mode: bool = False


def listed_product(row: Any) -> ListedProduct:
    """The product in a row of the listing. Raises `ValueError` (pydantic's) if a field has the wrong type.

    The volume is that in quote currency; if the listing leaves it empty, that in base currency at the last price.
    """
    r = ProductRow.model_validate(row)
    volume = r.approximate_quote_24h_volume or r.volume_24h * r.price
    note = "it trades in auctions at the moment" if r.auction_mode else ""
    return ListedProduct(r.product_id, r.quote_currency_id, volume, r.alias, _untradable_because(r), note)


def _untradable_because(row: ProductRow) -> str | None:
    """Why this product has no live market, or None."""
    if row.product_type != "SPOT":
        return f"it is not a spot product ({row.product_type or 'no type'})"
    if row.status != "online":
        return f"its status is {row.status or 'empty'!r}"
    if row.trading_disabled or row.is_disabled:
        return "trading is disabled"
    if row.cancel_only:
        return "orders can only be cancelled"
    return "it is view only" if row.view_only else None

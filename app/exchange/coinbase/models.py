"""Validates the exchange's data: frames, candles, products. Unknown fields are ignored, wrong ones are rejected.

For any input, `decode` either returns one of the messages below or raises `BadFrame`, and nothing else.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple, TypeAlias

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from app.exchange.coinbase.wire_time import parse_ms
from app.market.candles import CandleState, UnifiedCandle
from app.market.timeframes import Timeframe

EXCHANGE = "coinbase"
"""Name of this exchange in every event and key."""

MAX_FRAME_BYTES = 8 * 2**20
"""A candles snapshot is about 15 KB per product; no requested data is near this size."""

_DECIMAL = re.compile(r"\d{1,24}(?:\.\d{1,24})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_MAX_DIGITS = 200


class BadFrame(ValueError):
    """A frame, or a part of one, that cannot be used. `kind`: one of few values, to count by."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail[:160]}" if detail else kind)
        self.kind = kind


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


def why(error: ValidationError) -> str:
    """The first error, without the input itself (which may be megabytes)."""
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"][:4])) + " " + first["msg"].removeprefix("Value error, ")


def read_candle(
    row: dict[str, Any], product: str, timeframe: Timeframe, state: CandleState, observed_ms: int
) -> UnifiedCandle:
    """The candle in `row`, of the stream or REST; `BadFrame` if it is invalid."""
    try:
        texts = (row["start"], row["open"], row["high"], row["low"], row["close"], row["volume"])
        digits = "".join(texts).replace(".", "")
        # Not float() alone: it accepts "nan", "1_0", " 1" and the digits of every script as well.
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
            _check_decimals(texts)
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


def _check_decimals(texts: tuple[str, ...]) -> None:
    """Raises `ValueError` if one of `texts` is not a decimal number, in digits or with an exponent (`1.2E-7`)."""
    for text in texts:
        if not _DECIMAL.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is not a decimal number")


def _float_or_zero(value: object) -> float:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return float(value)
    return 0.0


Amount: TypeAlias = Annotated[float, BeforeValidator(_float_or_zero)]
"""A decimal string; 0 if the exchange leaves it empty, as for products that do not trade."""


class ListedProduct(BaseModel):
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

    @property
    def quote_volume_24h(self) -> float:
        """Volume of the last 24 hours in quote currency; by price and base volume if the listing has none."""
        return self.approximate_quote_24h_volume or self.volume_24h * self.price

    @property
    def untradable_because(self) -> str | None:
        """Why this product has no live market, or None."""
        if self.product_type != "SPOT":
            return f"it is not a spot product ({self.product_type or 'no type'})"
        if self.status != "online":
            return f"its status is {self.status or 'empty'!r}"
        if self.trading_disabled or self.is_disabled:
            return "trading is disabled"
        if self.view_only:
            return "it is view only"
        return None

    @property
    def tradable(self) -> bool:
        return self.untradable_because is None

"""Faults of REST: failing responses, and responses with 200 and wrong data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.market.timeframes import Timeframe
from simulator.fault import CountedFault, LastingFault

OddRow = Literal["zero_low", "exponent", "missing_field", "text"]


class CountedRestFault(CountedFault):
    """`path`: only requests whose path contains this (`candles`, `BTC-USD`, `time`)."""

    path: str = Field("", max_length=200)


class RestThrottle(CountedRestFault):
    """Respond with 429."""

    fault: Literal["rest_429"]
    body: Literal["json", "html", "empty"] = "json"
    retry_after: float | str | None = None


class RestUnauthorized(CountedRestFault):
    """Respond with 401, as the exchange once did instead of 429."""

    fault: Literal["rest_401"]


class RestNotFound(CountedRestFault):
    """Respond with 404, as for an unknown product."""

    fault: Literal["rest_404"]


class RestInternal(CountedRestFault):
    """Respond with 500 and JSON."""

    fault: Literal["rest_500"]


class RestBadGateway(CountedRestFault):
    """Respond with 502 and an HTML page."""

    fault: Literal["rest_502"]


class RestHang(CountedRestFault):
    """Do not respond for `seconds` of real time, then cut the connection."""

    fault: Literal["rest_hang"]
    seconds: float = Field(60.0, gt=0, le=3_600)


class RestTruncated(CountedRestFault):
    """Send half of the response, then cut the connection."""

    fault: Literal["rest_truncated"]


class RestWrongProduct(CountedRestFault):
    """Respond with candles of another product."""

    fault: Literal["rest_wrong_product"]


class RestLatency(LastingFault):
    """Delay every response by `seconds` of real time; `path`: only for requests whose path contains this."""

    fault: Literal["rest_latency"]
    seconds: float = Field(0.15, gt=0, le=60)
    path: str = Field("", max_length=200)


class RestLate(LastingFault):
    """Leave a closed bucket out until `seconds` of exchange time after its end.

    `shows_open`: whether the row of the open bucket is included.
    """

    fault: Literal["rest_late"]
    seconds: float = Field(30.0, gt=0, le=86_400)
    shows_open: bool = True
    product: str | None = None


class RestStale(LastingFault):
    """Return the newest closed bucket as it was halfway through, until `seconds` of exchange time after its end."""

    fault: Literal["rest_stale"]
    seconds: float = Field(30.0, gt=0, le=86_400)
    product: str | None = None


class RestAlternate(LastingFault):
    """Every second response with candles is from a server that is `seconds` of exchange time behind."""

    fault: Literal["rest_alternate"]
    seconds: float = Field(1_200.0, gt=0, le=7 * 86_400)
    product: str | None = None


class RestTime(LastingFault):
    """Answer `/time` with a clock that is `seconds` ahead of the stream's; below 0: behind it."""

    fault: Literal["rest_time"]
    seconds: float = Field(3_600.0, ge=-86_400, le=86_400)


class CountedCandlesFault(CountedFault):
    """`product`, `timeframe`: only responses with candles of these."""

    product: str | None = None
    timeframe: Timeframe | None = None

    def is_about(self, product: str, timeframe: Timeframe) -> bool:
        return self.product in (None, product) and self.timeframe in (None, timeframe)


class RestShort(CountedCandlesFault):
    """Respond with only the newest or the oldest `rows` candles of the range."""

    fault: Literal["rest_short"]
    rows: int = Field(3, ge=1, le=349)
    keep: Literal["newest", "oldest"] = "newest"


class RestEmpty(CountedCandlesFault):
    """Respond with 200 and no candle."""

    fault: Literal["rest_empty"]


class RestHalf(CountedCandlesFault):
    """Respond with candles that have half of their volume."""

    fault: Literal["rest_half"]


class RestOddRow(CountedCandlesFault):
    """Respond with one odd row: a low of 0, a volume like 1.2E-7, a missing price, or text instead of a number.

    `bucket`: which row, counted from the newest (0); the oldest if there are fewer.
    """

    fault: Literal["rest_odd_row"]
    kind: OddRow = "zero_low"
    bucket: int = Field(1, ge=0, le=349)


class RestHoles(CountedCandlesFault):
    """Leave out each candle with the probability `rate`: different ones in each response."""

    fault: Literal["rest_holes"]
    rate: float = Field(0.3, gt=0, le=1)

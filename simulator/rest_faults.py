"""Faults of REST: answers that fail, and answers of 200 that are not the truth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.fault import CountedFault, LastingFault

OddRow = Literal["zero_low", "exponent", "missing_field", "text"]


class CountedRestFault(CountedFault):
    """`path`: only requests whose path contains this (`candles`, `BTC-USD`, `time`)."""

    path: str = Field("", max_length=200)


class RestThrottle(CountedRestFault):
    """Answer 429."""

    fault: Literal["rest_429"]
    body: Literal["json", "html", "empty"] = "json"
    retry_after: float | str | None = None


class RestUnauthorized(CountedRestFault):
    """Answer 401, as the exchange once did when it meant 429."""

    fault: Literal["rest_401"]


class RestNotFound(CountedRestFault):
    """Answer 404, as for a product that the exchange does not have."""

    fault: Literal["rest_404"]


class RestInternal(CountedRestFault):
    """Answer 500 with JSON."""

    fault: Literal["rest_500"]


class RestBadGateway(CountedRestFault):
    """Answer 502 with a page of HTML."""

    fault: Literal["rest_502"]


class RestHang(CountedRestFault):
    """Do not answer for `seconds` of real time, then cut the line."""

    fault: Literal["rest_hang"]
    seconds: float = Field(60.0, gt=0, le=3_600)


class RestTruncated(CountedRestFault):
    """Send half of the answer, then cut the line."""

    fault: Literal["rest_truncated"]


class RestWrongProduct(CountedRestFault):
    """Answer candles of another product."""

    fault: Literal["rest_wrong_product"]


class RestLatency(LastingFault):
    """Every answer comes after `seconds` of real time; `path`: only to requests whose path contains this."""

    fault: Literal["rest_latency"]
    seconds: float = Field(0.15, gt=0, le=60)
    path: str = Field("", max_length=200)


class RestLate(LastingFault):
    """REST leaves a closed bucket out until `seconds` of exchange time after its end.

    `shows_open`: whether the row of the open bucket is there nevertheless.
    """

    fault: Literal["rest_late"]
    seconds: float = Field(30.0, gt=0, le=86_400)
    shows_open: bool = True
    product: str | None = None


class RestStale(LastingFault):
    """REST tells a closed bucket as it was at its half, until `seconds` of exchange time after its end."""

    fault: Literal["rest_stale"]
    seconds: float = Field(30.0, gt=0, le=86_400)
    product: str | None = None


class RestAlternate(LastingFault):
    """Every second answer for candles is one of a server that is `seconds` of exchange time behind."""

    fault: Literal["rest_alternate"]
    seconds: float = Field(1_200.0, gt=0, le=7 * 86_400)
    product: str | None = None


class CountedCandlesFault(CountedFault):
    """`product`: only answers for candles of this one."""

    product: str | None = None


class RestShort(CountedCandlesFault):
    """Answer with only the newest or the oldest `rows` candles of the range."""

    fault: Literal["rest_short"]
    rows: int = Field(3, ge=1, le=349)
    keep: Literal["newest", "oldest"] = "newest"


class RestEmpty(CountedCandlesFault):
    """Answer 200 without any candle."""

    fault: Literal["rest_empty"]


class RestHalf(CountedCandlesFault):
    """Answer candles with half of their volume."""

    fault: Literal["rest_half"]


class RestOddRow(CountedCandlesFault):
    """Answer with one row spelled as no client expects: a low of 0, a volume like 1.2E-7, a price missing, or text.

    `bucket`: which row, from the newest one (0) on; the oldest one if there are fewer.
    """

    fault: Literal["rest_odd_row"]
    kind: OddRow = "zero_low"
    bucket: int = Field(1, ge=0, le=349)


class RestHoles(CountedCandlesFault):
    """Leave out each candle with the probability `rate`: other ones in each answer."""

    fault: Literal["rest_holes"]
    rate: float = Field(0.3, gt=0, le=1)

"""Every product at a glance: price, change of a day, and the newest MACD-V of each timeframe. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.cache.model import View
from app.cache.products import FollowedProduct
from app.context import Context
from app.series import Series
from app.timeframes import BASE, Timeframe

DAY_S = 86_400

CELL = ("start", "macdv", "histogram", "stage")
"""What is shown of a value, as far as it exists."""

NEWEST = 3
"""Buckets of each product that are looked at for its price; where all are missing, the indicator's close has to do."""


def read_overview(context: Context) -> dict[str, Any]:
    """One row a followed product, in alphabetical order. Raises redis' errors where Redis cannot be reached.

    Cheap: two buckets' ranges and one short hash a timeframe for each product, all of them in a few round trips.
    """
    clock = context.clock.read()
    now_s = clock.exchange_s if clock else None
    timeframes = context.settings.timeframes
    followed = context.products.read()
    prices = _prices(context, [p.product for p in followed], now_s)
    many = [Series(context.exchange, p.product, t) for p in followed for t in timeframes]
    values = (value and value.data for value in context.indicators.read_many(many))
    return {
        "exchange": context.exchange,
        "exchange_ms": clock.exchange_ms if clock else None,
        "settling_seconds": context.settings.settling_seconds,
        "timeframes": [{"name": str(t), "seconds": t.seconds} for t in timeframes],
        "products": [_row(p, {t: next(values) for t in timeframes}, *prices[p.product]) for p in followed],
    }


def _prices(context: Context, products: Sequence[str], now_s: float | None) -> dict[str, tuple[View, View]]:
    """By product: its newest buckets, and the one of a day ago."""
    newest = 0 if now_s is None else BASE.bucket(now_s)
    before = max(0, newest - DAY_S)
    many = [Series(context.exchange, p, BASE) for p in products]
    ranges = [(s, max(0, newest - NEWEST * BASE.seconds), newest) for s in many] + [(s, before, before) for s in many]
    views = context.candles.read_many(ranges)
    return dict(zip(products, zip(views, views[len(many) :], strict=False), strict=True))


def _row(
    product: FollowedProduct, values: Mapping[Timeframe, dict[str, Any] | None], newest: View, before: View
) -> dict[str, Any]:
    base = values[BASE] or {}
    price = _last(newest.records["close"], base.get("close"))
    day_ago = _last(before.records["open"], None)
    return {
        "product": product.product,
        "refused": product.refused,
        "price": price,
        "change": price / day_ago - 1 if price and day_ago else None,
        "newest": _last(newest.over["start_s"], base.get("start")),
        "latest": {str(t): _cell(value) for t, value in values.items()},
    }


def _last(column: Any, otherwise: Any) -> Any:
    """The last of a column as a plain number; `otherwise` where it is empty."""
    return column[-1].item() if len(column) else otherwise


def _cell(value: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {name: value[name] for name in CELL if name in value}

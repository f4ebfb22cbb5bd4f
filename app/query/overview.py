"""Overview of every product: price, change in 24 hours, newest MACD-V of each timeframe. Read-only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson

from app.market.candles import CandleState
from app.market.records import Records, state_of
from app.market.series import Series
from app.market.timeframes import BASE, Timeframe
from app.settings import Settings
from app.storage.entries import or_none
from app.storage.indicators import indicator_of
from app.storage.stores import Stores
from app.util.caches import IncrementalMap
from app.wire.fields import part_of
from app.wire.indicators import OverviewAnswer, OverviewCell

DAY_S = 86_400

NEWEST = 4
"""Newest buckets that are read for a product's price. If all are missing, the indicator's close is used."""


class Cell(NamedTuple):
    """`json`: an `OverviewCell`, to embed in JSON. `start` and `close`: of its bar."""

    json: Any
    start: int | None
    close: float | None


NO_CELL = Cell(None, None, None)


class Prices(NamedTuple):
    """Of one product: newest price, price a day ago, start of the newest closed bucket; None if unknown."""

    price: float | None
    day_ago: float | None
    newest: int | None


def read_overview(stores: Stores, settings: Settings) -> OverviewAnswer:
    """One row per followed product, in alphabetical order. Serialise it with orjson: the cells are JSON already.

    Raises redis' errors if Redis cannot be reached. Cheap: reads five buckets per product, and one short text per
    product and timeframe, in a few round trips. Only texts that have changed are parsed.
    """
    clock = stores.clock.read()
    timeframes = settings.timeframes
    followed = stores.products.read()
    many = _series(stores.exchange, tuple(p.product for p in followed), timeframes)
    base = timeframes.index(BASE)
    prices = _prices(stores, many[base], clock.exchange_s if clock else 0)
    cells = [cell or NO_CELL for cell in _cells(stores.indicators.read_json([*chain(*many)]))]
    columns = [cells[i * len(followed) : (i + 1) * len(followed)] for i in range(len(timeframes))]
    rows = zip(followed, prices, columns[base], zip(*columns, strict=True), strict=True)
    names = [str(t) for t in timeframes]
    return {
        "exchange": stores.exchange,
        "exchange_ms": clock.exchange_ms if clock else None,
        "settling_seconds": settings.settling_seconds,
        "timeframes": [{"name": str(t), "seconds": t.seconds} for t in timeframes],
        "products": [
            {
                "product": product.product,
                "refused": product.refused,
                "price": (price := _known(told.price, base.close)),
                "change": price / told.day_ago - 1 if price and told.day_ago else None,
                "newest": _known(told.newest, base.start),
                "latest": {name: cell.json for name, cell in zip(names, row, strict=True)},
            }
            for product, told, base, row in rows
        ],
    }


@lru_cache(maxsize=1)
def _series(exchange: str, products: tuple[str, ...], timeframes: tuple[Timeframe, ...]) -> list[list[Series]]:
    """The series of all products, by timeframe. Cached until the followed products change."""
    return [[Series(exchange, product, timeframe) for product in products] for timeframe in timeframes]


def _prices(stores: Stores, many: Sequence[Series], now_s: float) -> Iterable[Prices]:
    """Prices of each 5m series, from its newest buckets and the one a day before the open one."""
    opened = BASE.bucket(now_s)
    ages_s = [DAY_S, *(i * BASE.seconds for i in reversed(range(NEWEST)))]
    buckets = stores.buckets.read(many, [max(0, opened - age_s) for age_s in ages_s])
    before, newest = buckets[:, :1], buckets[:, :0:-1]
    return map(
        Prices,
        _first(newest["close"], newest["start_s"] > 0),
        _first(before["open"], before["start_s"] > 0),
        _first(newest["start_s"], state_of(newest) >= int(CandleState.CLOSED)),
    )


def _first(values: Records, known: Any) -> list[Any]:
    """The first known value of each row, or None."""
    found = values[np.arange(len(values)), known.argmax(axis=1)].tolist()
    return [value if any_known else None for value, any_known in zip(found, known.any(axis=1).tolist(), strict=True)]


def _known(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _cell(data: bytes) -> Cell:
    value = indicator_of(data)
    cell = part_of(value, OverviewCell)
    return Cell(orjson.Fragment(orjson.dumps(cell)), value.get("start"), value.get("close"))


_cells = IncrementalMap(or_none("indicator values", _cell))

"""The product listing of any exchange; each row is checked alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError

from app.exchange.frames import why
from app.market.product_ids import is_product_id, why_not

MAX_SHOWN = 80
"""Characters of a row's id that a log line shows."""


class ListedProduct(NamedTuple):
    """One product of a listing, under our name.

    `quote`: the currency of its prices. `quote_volume_24h`: volume of the last 24 hours, in `quote`. `alias`: the
    product whose stream it shares, or empty. `untradable_because`: why it has no live market, or None. `note`: a mode
    in which it trades differently, or empty.
    """

    product: str
    quote: str
    quote_volume_24h: float = 0.0
    alias: str = ""
    untradable_because: str | None = None
    note: str = ""

    @property
    def is_tradable(self) -> bool:
        return self.untradable_because is None


class Listing(NamedTuple):
    """`products`: in the listing's order. `rejected`: reasons of the rows that are not used, by their id as far as it
    can be shown. `rows`: how many were received. `expected_rows`: how many the exchange has; None if it does not say.
    `is_last`: another request would bring nothing new.
    """

    products: list[ListedProduct]
    rejected: dict[str, str]
    rows: int = 0
    expected_rows: int | None = None
    is_last: bool = True

    @property
    def is_short(self) -> bool:
        """Whether rows are missing: then a product that is not listed may exist."""
        return self.expected_rows is not None and self.rows < self.expected_rows


def read_listing(
    rows: Iterable[Any], read: Callable[[Any], ListedProduct], id_field: str, before: Listing | None = None
) -> Listing:
    """The listing in `rows`, each read by `read`, which raises `ValueError`. `id_field`: field of a row with its id.

    An invalid row affects only itself; of two with one id the tradable, whole one counts. `before`: the earlier parts.
    """
    rows = list(rows)
    products = {p.product: p for p in before.products} if before else {}
    rejected = dict(before.rejected) if before else {}
    first = before.rows + 1 if before else 1
    seen: set[str] = set()
    for number, row in enumerate(rows, first):
        try:
            product = _checked(read(row))
        except ValueError as error:
            rejected[_shown(row, id_field, number)] = why(error) if isinstance(error, ValidationError) else str(error)
            continue
        if product.product in seen:
            rejected[product.product] = "listed twice; the first tradable row counts"
        seen.add(product.product)
        known = products.get(product.product)
        if known is None or _worth(product) > _worth(known):
            products[product.product] = product
    return Listing(list(products.values()), rejected, first - 1 + len(rows))


def _worth(product: ListedProduct) -> tuple[bool, bool]:
    return product.is_tradable, bool(product.quote)


def _checked(product: ListedProduct) -> ListedProduct:
    """`product`; `ValueError` with the reason if a name is invalid."""
    if not is_product_id(product.product):
        raise ValueError(why_not(product.product))
    if product.alias and not is_product_id(product.alias):
        raise ValueError(f"the product that feeds it is invalid: {why_not(product.alias)}")
    return product


def _shown(row: Any, id_field: str, number: int) -> str:
    """The id of `row` as a log line may show it; its number if it has none."""
    name = row.get(id_field) if isinstance(row, dict) else None
    return ascii(name[:MAX_SHOWN])[1:-1] if isinstance(name, str) and name else f"row {number}"

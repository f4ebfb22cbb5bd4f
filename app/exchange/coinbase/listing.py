"""The product listing; each row is checked alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError

from app.exchange.coinbase.models import ListedProduct, why
from app.market.product_ids import is_product_id, why_not

MAX_SHOWN = 80
"""Characters of a row's id that a log line shows."""


class Listing(NamedTuple):
    """`products`: in the listing's order. `rejected`: reasons of the rows that are not used, by their id as far as it
    can be shown.
    """

    products: list[ListedProduct]
    rejected: dict[str, str]


def read_listing(rows: Iterable[Any]) -> Listing:
    """The listing in `rows`. An invalid row affects only itself; of two with one id the tradable, whole one counts."""
    products: dict[str, ListedProduct] = {}
    rejected: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        try:
            product = _product(row)
        except ValueError as error:
            rejected[_shown(row, number)] = why(error) if isinstance(error, ValidationError) else str(error)
        else:
            before = products.get(product.product_id)
            if before:
                rejected[product.product_id] = "listed twice; the first tradable row counts"
            if before is None or _worth(product) > _worth(before):
                products[product.product_id] = product
    return Listing(list(products.values()), rejected)


def _worth(product: ListedProduct) -> tuple[bool, bool]:
    return product.tradable, bool(product.quote_currency_id)


def _product(row: Any) -> ListedProduct:
    """The product of `row`; `ValueError` with the reason."""
    product = ListedProduct.model_validate(row)
    if not is_product_id(product.product_id):
        raise ValueError(why_not(product.product_id))
    if product.alias and not is_product_id(product.alias):
        raise ValueError(f"the product that feeds it is invalid: {why_not(product.alias)}")
    return product


def _shown(row: Any, number: int) -> str:
    """The id of `row` as a log line may show it; its number if it has none."""
    name = row.get("product_id") if isinstance(row, dict) else None
    return ascii(name[:MAX_SHOWN])[1:-1] if isinstance(name, str) and name else f"row {number}"

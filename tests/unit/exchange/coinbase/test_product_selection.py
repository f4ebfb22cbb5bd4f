"""From a selection in the settings to products."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidInput
from app.exchange.coinbase.models import listed_product
from app.exchange.listing import ListedProduct
from app.exchange.product_selection import aliases, doubts, select_products, unmatched


def product(name: str, volume: str = "1", **more: Any) -> ListedProduct:
    fields = {"status": "online", "product_type": "SPOT", "quote_currency_id": name.split("-")[1]}
    return listed_product({"product_id": name, "approximate_quote_24h_volume": volume, **fields, **more})


LISTING = [
    product("ADA-USD", "10"),
    product("BTC-USD", "900"),
    product("BTC-USDC", "900", alias="BTC-USD"),
    product("ETH-USD", "", price="50", volume_24h="4"),
    product("ETH-EUR", "300"),
    product("AAA-USD", "10"),
    product("OLD-USD", "999", status="delisted", trading_disabled=True),
    product("OFF-USD", "999", is_disabled=True),
    product("STOP-USD", "999", trading_disabled=True),
    product("VIEW-USD", "999", view_only=True),
    product("PERP-USD", "999", product_type="FUTURE", status=""),
]


def test_all_is_by_volume_and_without_untradable_products() -> None:
    assert select_products(["all:USD"], LISTING) == ["BTC-USD", "ETH-USD", "AAA-USD", "ADA-USD"]


@pytest.mark.parametrize(("count", "chosen"), [(1, ["BTC-USD"]), (2, ["BTC-USD", "ETH-USD"])])
def test_top_is_the_first_of_them(count: int, chosen: list[str]) -> None:
    assert select_products([f"top:{count}:USD"], LISTING) == chosen


def test_the_order_of_the_listing_does_not_matter() -> None:
    assert select_products(["all:USD"], LISTING[::-1]) == select_products(["all:USD"], LISTING)


def test_named_products_are_selected_in_any_case() -> None:
    assert select_products(["OLD-USD", "BTC-USDC", "top:1:USD", "BTC-USD", "NOPE-USD"], LISTING) == [
        "OLD-USD",
        "BTC-USDC",
        "BTC-USD",
        "NOPE-USD",
    ]


def test_named_products_that_will_not_trade_are_reported_with_the_reason() -> None:
    selection = ["OLD-USD", "OFF-USD", "VIEW-USD", "PERP-USD", "NOPE-USD", "BTC-USD", "BTC-USDC", "all:USD"]
    assert doubts(selection, LISTING) == {
        "OLD-USD": "its status is 'delisted'",
        "OFF-USD": "trading is disabled",
        "VIEW-USD": "it is view only",
        "PERP-USD": "it is not a spot product (FUTURE)",
        "NOPE-USD": "the exchange does not list it",
    }


def test_aliases_name_the_stream_that_feeds_them() -> None:
    assert aliases(LISTING) == {"BTC-USDC": "BTC-USD"}


@pytest.mark.parametrize("wrong", ["all:", "top:USD", "top:x:USD", "most:USD", "all:USD:3"])
def test_a_selection_of_another_form_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="selection"):
        select_products([wrong], LISTING)


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ("all:JPY", "no tradable product is quoted in JPY; there are USD (4), EUR (1)"),
        ("top:25:USB", "no tradable product is quoted in USB; there are USD (4), EUR (1)"),
        ("top:25:USDC", "products quoted in USDC share the candles of those quoted in USD: use top:25:USD"),
        ("BTCC-USD", "the exchange does not list it; did you mean BTC-USD"),
        ("QQQQQQ-XXX", "the exchange does not list it"),
    ],
)
def test_a_selection_without_match_is_reported_with_alternatives(part: str, hint: str) -> None:
    assert unmatched(["BTC-USD", part, "all:USD"], LISTING)[part].startswith(hint)
    assert list(unmatched(["BTC-USD", part, "all:USD"], LISTING)) == [part]


def test_on_an_exchange_without_products_nothing_matches() -> None:
    assert unmatched(["all:USD"], []) == {
        "all:USD": "no tradable product is quoted in USD; there are none in any currency"
    }

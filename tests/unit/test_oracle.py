"""The judge's own arithmetic: meant products, true bars, and differences."""

from __future__ import annotations

from typing import Any

from tests.exchange import Bar
from tests.oracle import differences, expected, products_meant

STEP = 300


def row(product: str, volume: str = "1", **changes: Any) -> dict[str, Any]:
    common = {"product_type": "SPOT", "status": "online", "trading_disabled": False, "is_disabled": False}
    quote = product.split("-")[1]
    named = {"product_id": product, "quote_currency_id": quote, "approximate_quote_24h_volume": volume, "alias": ""}
    return {**common, "view_only": False, **named, **changes}


LISTING = [
    row("LTC-USD", "30"), row("BTC-USD", "900.5"), row("ETH-USD", "90"), row("ETH-BTC", "5000"), row("ADA-USD", "30"),
    row("BTC-USDC", "900.5", alias="BTC-USD"), row("REN-USD", "7000", status="delisted", trading_disabled=True),
    row("NEW-USD", "", new=True), row("OLD-USD", "8000", view_only=True),
    row("BTC-USD-PERP", "9", product_type="FUTURE"),
]  # fmt: skip


def bar(close: float, volume: float = 1.0) -> Bar:
    return Bar(close, close + 1, close - 1, close, volume, True)


def carried(close: float) -> Bar:
    return Bar(close, close, close, close, 0.0, False)


def test_all_means_every_product_of_a_currency_that_may_be_traded_and_no_alias() -> None:
    assert sorted(products_meant(["all:USD"], LISTING)) == ["ADA-USD", "BTC-USD", "ETH-USD", "LTC-USD", "NEW-USD"]
    assert products_meant(["all:EUR"], LISTING) == {}


def test_top_means_those_with_the_most_volume_and_the_first_by_name_of_equal_ones() -> None:
    assert list(products_meant(["top:3:USD"], LISTING)) == ["BTC-USD", "ETH-USD", "ADA-USD"]


def test_a_named_product_is_meant_if_it_is_listed_and_may_be_traded_also_as_an_alias() -> None:
    named = ["ETH-BTC", "BTC-USDC", "REN-USD", "NOPE-USD", "BTC-USD-PERP"]
    assert products_meant(named, LISTING) == {"ETH-BTC": "ETH-BTC", "BTC-USDC": "BTC-USD"}
    assert list(products_meant(["ADA-USD", "top:1:USD"], LISTING)) == ["ADA-USD", "BTC-USD"]


def test_the_truth_begins_with_the_first_trade_and_carries_over_empty_buckets() -> None:
    truth = {600: bar(10.0), 1_500: bar(20.0)}
    assert expected(truth, 0, 1_800, STEP) == {
        600: bar(10.0), 900: carried(10.0), 1_200: carried(10.0), 1_500: bar(20.0), 1_800: carried(20.0)
    }  # fmt: skip


def test_differences_name_the_first_missing_buckets_count_the_others_and_name_each_wrong_one() -> None:
    truth = {STEP * n: bar(float(n)) for n in range(1, 11)}
    cache = {600: bar(2.0), 900: bar(3.5), 1_200: carried(4.0)}
    lines = differences(truth, cache)
    assert [line.split(":")[0] for line in lines] == ["300", "1500", "1800", "300 to 3000", "900", "1200"]
    assert lines[3] == "300 to 3000: 7 of 10 missing"
    assert differences(truth, truth) == []
    rounded = {300: bar(1.0, 1.0 + 1e-12)}
    assert differences({300: bar(1.0)}, rounded) == []
    assert len(differences({300: bar(1.0)}, {300: bar(1.0, 1.0 + 1e-6)})) == 1

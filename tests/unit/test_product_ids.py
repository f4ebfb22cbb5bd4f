"""One grammar of product ids, used everywhere."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.alerts.facts import identity
from app.alerts.settings import AlertSettings
from app.delivery.listing import _cursor, _parse_cursor
from app.errors import InvalidInput
from app.exchange.coinbase.models import listed_product
from app.exchange.listing import read_listing
from app.exchange.product_selection import select_products
from app.market.product_ids import MAX_LENGTH, is_product_id, typed, why_not
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage import keys
from app.storage.queue import BackfillRequest, Kind
from workers.arguments import UpdateWork, parsed

IDS = [
    "BTC-USD",
    "BTC-U",
    "00-USD",
    "1INCH-USD",
    "BTC-PERP-INTX",
    "FOO-BAR-USD",
    "BIT-28FEB25-CDE",
    "ABCDEFGHIJKLMNOPQRSTUVW-USD",
    "A.B-USD",
    "A" * (MAX_LENGTH - 4) + "-USD",
]
OTHERS = [
    "",
    "BTC",
    "btc-USD",
    "BTC-usd",
    "BTC--USD",
    "-BTC-USD",
    "BTC-USD-",
    ".A-USD",
    "BTC-.",
    "..-..",
    "A-B-C-D-E",
    "BTC_USD",
    "BTC/USD",
    "BTC-USD\n",
    " BTC-USD",
    "BTC:USD-X",
    "{A}-USD",
    "A|B-USD",
    "A*-USD",
    "A,B-USD",
    "Ä-USD",
    "٣-USD",
    "BTC-\u212aRW",
    "A" * (MAX_LENGTH - 3) + "-USD",
]

ids = st.from_regex(r"[A-Z0-9][A-Z0-9.]{0,14}(-[A-Z0-9][A-Z0-9.]{0,14}){1,3}", fullmatch=True).filter(
    lambda text: text.isascii()
)
texts = st.sampled_from(IDS + OTHERS) | st.text(st.sampled_from("AZ09.-az_{}|:*,/ \n\u017f"), max_size=70)


@pytest.mark.parametrize("text", IDS)
def test_valid_product_ids(text: str) -> None:
    assert is_product_id(text)


@pytest.mark.parametrize("text", OTHERS)
def test_invalid_product_ids_and_reasons(text: str) -> None:
    assert not is_product_id(text)
    assert why_not(text).startswith("its id ")
    assert why_not(text).isascii()


def follows(text: str) -> bool:
    """Whether `all:USD` follows the listed product `text`."""
    row = {"product_id": text, "status": "online", "product_type": "SPOT", "quote_currency_id": "USD"}
    return select_products(["all:USD"], read_listing([row], listed_product, "product_id").products) == [text]


def takes(text: str, how: str) -> bool:
    """Whether any of the readers of product ids accepts `text`."""
    try:
        match how:
            case "settings":
                return Settings(coinbase={"products": (text,)}).exchange("coinbase").products == (text,)
            case "alerts":
                rule = {"name": "x", "kind": "level", "products": [text]}
                return AlertSettings.model_validate({"rule": [rule]}).rule[0].products == (text,)
            case "task":
                return bool(parsed(UpdateWork, {"changed": [[text, "5m", 300, 300]]}).as_ranges())
            case "look-up":
                return typed(text) == text
            case "queue":
                return (
                    BackfillRequest.parse(str(BackfillRequest(Kind.GAP, text, Timeframe.M5)).encode()).product == text
                )
    except ValueError:
        return False
    raise AssertionError(how)


@example("ABCDEFGHIJKLMNOPQRSTUVW-USD")
@example("BTC-PERP-INTX")
@example("FOO-BAR-USD")
@example("BTC-U")
@example(".A-USD")
@given(texts | ids)
def test_all_readers_of_an_id_agree(text: str) -> None:
    """Otherwise one part would follow a product that another refuses."""
    assert follows(text) is is_product_id(text)
    if text.strip() == text and "," not in text:  # the setting is a list that people write
        assert takes(text, "settings") is is_product_id(text)
    for how in ("alerts", "task", "look-up", "queue"):
        assert takes(text, how) is is_product_id(text), how


@example("A" * (MAX_LENGTH - 4) + "-USD")
@given(ids)
def test_an_id_survives_everything_that_is_made_of_it(product: str) -> None:
    series = Series("coinbase", product, Timeframe.M15)
    key = keys.candles(series)
    assert key.partition("{")[2].partition("}")[0] == f"coinbase:{product}", "the hash tag"
    assert quote(product, safe="") == product
    alert = identity("r" * 40, series, 2**32 - 1)
    assert alert.split("|")[1] == product
    assert _parse_cursor(_cursor(2**32 - 1, alert)) == (2**32 - 1, alert)


def test_people_may_type_small_letters_but_no_others() -> None:
    assert typed("btc-usd") == "BTC-USD"
    for other in ("ſol-usd", "ﬀ-USD", "btc", ""):
        with pytest.raises(InvalidInput, match="is not a product"):
            typed(other)


@pytest.mark.parametrize(
    ("selection", "is_one"),
    [("all:USD", True), ("top:25:USDC", True), ("all:1INCH", True), ("all:usd", False), ("top:0:USD", False)],
)
def test_selections_name_a_currency(selection: str, is_one: bool) -> None:
    if is_one:
        assert Settings(coinbase={"products": (selection,)}).exchange("coinbase").products == (selection,)
    else:
        with pytest.raises(ValueError, match="neither a product"):
            Settings(coinbase={"products": (selection,)})


def test_one_bad_row_of_the_listing_is_left_out_alone() -> None:
    good = {"product_id": "BTC-USD", "status": "online", "product_type": "SPOT", "quote_currency_id": "USD"}
    rows = [7, good, {**good, "product_id": "FOO_BAR"}, good, {**good, "product_id": "X-USD", "alias": "x"}, None]
    products, rejected, *_ = read_listing(rows, listed_product, "product_id")
    assert [p.product for p in products] == ["BTC-USD"]
    assert list(rejected) == ["row 1", "FOO_BAR", "BTC-USD", "X-USD", "row 6"]
    assert "'_'" in rejected["FOO_BAR"]
    assert "twice" in rejected["BTC-USD"]


def test_of_two_rows_with_one_id_the_tradable_one_counts() -> None:
    good = {"product_id": "BTC-USD", "status": "online", "product_type": "SPOT", "quote_currency_id": "USD"}
    for rows in ([{"product_id": "BTC-USD"}, good], [good, {"product_id": "BTC-USD"}], [good, good]):
        products, rejected, *_ = read_listing(rows, listed_product, "product_id")
        assert [(p.product, p.is_tradable) for p in products] == [("BTC-USD", True)]
        assert list(rejected) == ["BTC-USD"]


@given(st.lists(st.none() | st.integers() | st.dictionaries(st.sampled_from(["product_id", "status"]), texts)))
def test_every_listed_row_is_followed_or_named(rows: list[object]) -> None:
    products, rejected, *_ = read_listing(rows, listed_product, "product_id")
    names = [row.get("product_id") if isinstance(row, dict) else None for row in rows]
    assert [p.product for p in products] == list(
        dict.fromkeys(name for name in names if isinstance(name, str) and is_product_id(name))
    )
    assert bool(rejected) is (len(products) < len(rows))

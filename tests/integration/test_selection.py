"""From PRODUCTS and the exchange's listing to followed and fed products, on a real Redis and over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis

from app.context import Context
from app.ingest.following import Following
from app.ingest.product_selection import Selection, Selector
from app.settings import Settings
from app.storage import keys
from app.storage.products import LEASE_S, FollowedProduct, ProductCache
from app.util.stop import Stop
from tests.integration.test_coinbase_rest import Venue, body
from tests.servers import serving
from tests.support import eventually

pytestmark = pytest.mark.integration


def row(product: str, volume: int = 1, **more: object) -> dict[str, Any]:
    return {
        "product_id": product,
        "status": "online",
        "product_type": "SPOT",
        "quote_currency_id": product.rpartition("-")[2],
        "approximate_quote_24h_volume": str(volume),
        **more,
    }


def listed(venue: Venue, rows: Sequence[object]) -> None:
    venue.answer = body({"products": list(rows)})


@pytest.fixture
def venue() -> Iterator[Venue]:
    venue = Venue()
    with serving(venue.server):
        yield venue


class Process:
    """The selecting and following part of an ingest process."""

    def __init__(
        self, client: redis.Redis, venue: Venue, name: str, products: str, share: str, lease_s: float = LEASE_S
    ) -> None:
        settings = Settings.from_environment(
            {
                "CANDLEWICK_COINBASE__REST_URL": venue.url,
                "CANDLEWICK_COINBASE__PRODUCTS": products,
                "CANDLEWICK_INGEST_SHARE": share,
                "CANDLEWICK_REST_TIMEOUT_SECONDS": "60",
            }
        )
        self.context = Context(settings, client)
        self.context.products = ProductCache(client, "coinbase", process=name, lease_s=lease_s)
        self.selector = Selector(self.context, self.context.settings, self.context.budgeted_rest, Stop())
        self.selection = self.select()
        self.following = Following(self.context.products, self.context.settings.ingest_share, self.selection)
        self.fed: set[str] = set()
        self.lost = 0

    def select(self) -> Selection:
        selection = self.selector.first()
        assert selection is not None
        return selection

    def check(self) -> set[str]:
        """The products that it feeds now."""
        change = self.following.check()
        assert not self.fed & {p.product for p in change.new}
        assert set(change.gone) <= self.fed
        self.fed |= {p.product for p in change.new}
        self.fed -= set(change.gone)
        self.lost += change.lost
        return self.fed


Start = Callable[..., Process]


@pytest.fixture
def start(redis_client: redis.Redis, venue: Venue) -> Start:
    def start(name: str, products: str = "all:USD", share: str = "1/1", **more: float) -> Process:
        return Process(redis_client, venue, name, products, share, **more)

    return start


def names(selection: Selection) -> list[str]:
    return [p.product for p in selection.products]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")]


def test_invalid_listed_ids_are_named_and_counted_and_left_out(
    venue: Venue, start: Start, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row("BTC-USD"), row("btc-USD"), 7, row("FOO-BAR-USD"), row("X" * 70 + "-USD"), row("BTC-PERP-INTX-USD")]
    listed(venue, rows)
    process = start("a", "all:USD,NOPE-USD")
    assert set(names(process.selection)) == {"BTC-USD", "FOO-BAR-USD", "BTC-PERP-INTX-USD", "NOPE-USD"}
    process.selector.again(process.selection)
    (warning,) = [w for w in warnings(caplog) if w.startswith("product listing")]
    assert "3 left out" in warning
    assert "btc-USD (its id contains 'b', 'c', 't'" in warning
    assert "its id has 74 characters" in warning
    assert "row 3 (" in warning
    assert redis_client.hget(keys.COUNTERS, "rejected:product listing") == b"3"


@pytest.mark.parametrize("selection", ["all:JPY", "top:25:JPY", "BTCC-USD"])
def test_a_selection_without_match_is_reported_once_and_completed_later(
    venue: Venue, start: Start, caplog: pytest.LogCaptureFixture, selection: str
) -> None:
    listed(venue, [row("BTC-USD"), row("ETH-EUR")])
    process = start("a", selection)
    for _ in range(3):
        assert process.check() == set()
        process.following._selection = process.selector.again(process.following._selection)
    assert process.lost == 0
    (warning,) = warnings(caplog)
    assert warning.startswith(f"products: {selection} matches nothing: ")
    assert ("BTC-USD" if "-" in selection else "there are USD (1), EUR (1)") in warning
    listed(venue, [row("BTC-USD"), row("ETH-EUR"), row("BTC-JPY"), row("BTCC-USD")])
    process.following._selection = process.selector.again(process.following._selection)
    assert not process.following._selection.open_parts
    assert process.check() == {"BTCC-USD" if "-" in selection else "BTC-JPY"}


def test_an_unmatched_part_does_not_affect_the_others(venue: Venue, start: Start) -> None:
    listed(venue, [row("A-USD", 9), row("B-USD", 8), row("C-USD", 7)])
    process = start("a", "top:2:USD,all:JPY")
    assert process.check() == {"A-USD", "B-USD"}
    listed(venue, [row("A-USD", 1), row("B-USD", 8), row("C-USD", 9), row("X-JPY")])
    process.following._selection = process.selector.again(process.following._selection)
    assert process.check() == {"A-USD", "B-USD", "X-JPY"}


def test_an_unlisted_product_is_set_apart_until_it_is_listed_again(
    venue: Venue, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    listed(venue, [row("A-USD", 9), row("B-USD", 8)])
    process = start("a", "all:USD")
    process.check()

    def after(*rows: object) -> dict[str, str | None]:
        listed(venue, rows)
        process.following._selection = process.selector.again(process.following._selection)
        process.check()
        return {p.product: p.refused for p in process.context.products.read()}

    known = process.following._selection
    assert after(row("A-USD", 9), row("B-USD", 8), row("C-USD", 7)) == {"A-USD": None, "B-USD": None}
    assert process.following._selection is known, "nothing is published anew"
    process.context.clock.set(1_614_816_000_000)
    gone = "the exchange does not list it (seen 2021-03-04 00:00:00 UTC)"
    assert after(row("A-USD", 9)) == {"A-USD": None, "B-USD": None}, "that answer may have been short"
    assert known.check_again_s > process.following._selection.check_again_s
    assert after(row("A-USD", 9), row("B-USD", 8)) == {"A-USD": None, "B-USD": None}
    assert process.following._selection == known
    assert after(row("A-USD", 9)) == {"A-USD": None, "B-USD": None}
    assert after(row("A-USD", 9)) == {"A-USD": None, "B-USD": gone}
    assert process.following._selection.check_again_s == known.check_again_s
    process.context.clock.set(1_614_826_000_000)
    assert after(row("A-USD", 9)) == {"A-USD": None, "B-USD": gone}, "since when it is gone"
    assert after(row("A-USD", 9), row("B-USD", 8)) == {"A-USD": None, "B-USD": None}
    delisted = after(row("A-USD", 9), row("B-USD", 8, status="delisted"))
    assert "its status is 'delisted'" in str(delisted["B-USD"])
    assert [w for w in warnings(caplog) if "is refused" in w] == [
        f"B-USD is refused: {gone}; checked again every hour",
        f"B-USD is refused: {delisted['B-USD']}; checked again every hour",
    ]


def test_without_the_listing_it_keeps_the_followed_products(venue: Venue, start: Start) -> None:
    listed(venue, [row("BTC-USD"), row("ETH-USD")])
    start("a").check()
    venue.answer = body({}, 503)
    process = start("a2")
    assert process.check() == {"BTC-USD", "ETH-USD"}
    assert not process.selection.is_own
    assert process.selector.again(process.selection) == process.selection
    listed(venue, [row("BTC-USD"), row("NEW-USD")])
    assert names(process.selector.again(process.selection)) == ["BTC-USD", "NEW-USD"]


def test_each_followed_product_is_fed_by_one_share(venue: Venue, start: Start) -> None:
    rows = [row(f"P{i:03}-USD", 1_000 - i) for i in range(100)] + [row(f"E{i:02}-EUR") for i in range(40)]
    listed(venue, rows)
    first = start("first", "top:25:USD", "1/2")
    alone = set(first.check())
    listed(venue, [row(f"P{i:03}-USD", 1_000 + i) for i in range(100)] + rows[100:])  # the other order of volume
    second = start("second", "top:25:USD,all:EUR", "2/2")
    second.check()
    first.check()
    followed = set(names(first.selection)) | set(names(second.selection))
    assert len(followed) == 25 + 25 + 40
    assert {p.product for p in first.context.products.read()} == followed
    assert first.fed | second.fed == followed
    assert not first.fed & second.fed
    assert alone < first.fed, "it feeds its share of what only the other one selected, without a new start"


def test_two_processes_with_other_products_follow_both_lists(venue: Venue, start: Start) -> None:
    """Without shares each feeds all: if one stops, nothing is missing."""
    listed(venue, [row("BTC-USD"), row("ETH-USD"), row("SOL-EUR")])
    a, b = start("a", "BTC-USD,ETH-USD"), start("b", "ETH-USD,all:EUR")
    a.check()
    assert b.check() == a.check() == {"BTC-USD", "ETH-USD", "SOL-EUR"}


def test_a_refused_product_is_fed_only_by_its_process(venue: Venue, start: Start) -> None:
    listed(venue, [row("BTC-USD"), row("ETH-USD"), row("OLD-USD", trading_disabled=True)])
    a = start("a", "BTC-USD,ETH-USD,OLD-USD")
    assert a.check() == {"BTC-USD", "ETH-USD"}
    a.context.products.refuse({"ETH-USD": "the exchange did not confirm its subscription"})
    assert a.check() == {"BTC-USD", "ETH-USD"}


def test_a_refusal_that_is_taken_back_feeds_the_product_everywhere(venue: Venue, start: Start) -> None:
    listed(venue, [row("BTC-USD"), row("ETH-USD")])
    start("a").check()
    second = start("b")
    second.context.products.refuse({"ETH-USD": "the exchange did not confirm its subscription"})
    assert [p.product for p in second.context.products.read() if p.refused] == ["ETH-USD"]
    second.context.products.refuse({"ETH-USD": None})
    assert [p.refused for p in second.context.products.read()] == [None, None]
    assert second.check() == {"BTC-USD", "ETH-USD"}


def test_a_product_missing_from_a_short_listing_is_not_delisted(venue: Venue, start: Start) -> None:
    listed(venue, [row("BTC-USD"), row("ETH-USD")])
    process = start("a", "BTC-USD,ETH-USD")
    process.check()
    venue.answer = body({"products": [row("BTC-USD")], "num_products": 2})
    selection = process.selection
    for _ in range(3):
        selection = process.selector.again(selection)
    assert [p.refused for p in selection.products] == [None, None]


def test_an_unfollowed_product_is_not_fed(venue: Venue, start: Start) -> None:
    listed(venue, [row("BTC-USD"), row("ETH-USD")])
    process = start("a")
    assert process.check() == {"BTC-USD", "ETH-USD"}
    process.context.products.follow([FollowedProduct("BTC-USD", "BTC-USD")])
    assert process.check() == {"BTC-USD"}


def test_only_the_feeding_process_withdraws_a_refusal(venue: Venue, start: Start) -> None:
    listed(venue, [row(f"P{n}-USD") for n in range(9)])
    first, second = start("a", share="1/2"), start("b", share="2/2")
    first.check()
    name = sorted(second.check())[0]
    second.context.products.refuse({name: "why"})

    def refused() -> list[str]:
        return [p.product for p in first.context.products.read() if p.refused]

    start("a again", share="1/2").check()
    assert refused() == [name]
    start("b again", share="2/2").check()
    assert refused() == []


def test_a_republished_part_supersedes_no_other(venue: Venue, start: Start, redis_client: redis.Redis) -> None:
    """Otherwise a process that was considered dead would end the parts of processes that are down for a while."""
    lease_s = 0.2
    listed(venue, [row("BTC-USD"), row("ETH-USD")])
    process = start("a", "BTC-USD", lease_s=lease_s)
    process.check()
    ProductCache(redis_client, "coinbase", process="b", lease_s=lease_s).follow([FollowedProduct("ETH-USD", "ETH-USD")])
    for is_lost in (True, False):
        until_s = redis_s(redis_client) + 2 * lease_s
        eventually(lambda u=until_s: redis_s(redis_client) > u)
        if is_lost:
            redis_client.hdel(keys.product_leases("coinbase"), "a")
        process.check()
    assert set(process.context.products.delivered()) == {"BTC-USD", "ETH-USD"}


def redis_s(client: redis.Redis) -> float:
    """Redis' time in UNIX seconds."""
    seconds, micros = client.time()
    return float(seconds) + micros / 1e6


def test_after_a_loss_of_data_its_part_and_refusals_are_restored(
    venue: Venue, start: Start, redis_client: redis.Redis
) -> None:
    listed(venue, [row("BTC-USD"), row("ETH-USD")])
    a = start("a")
    a.check()
    a.context.products.refuse({"ETH-USD": "why"})
    a.check()
    redis_client.flushall()
    a.check()
    a.check()
    assert a.lost == 1
    assert a.context.products.delivered() == ["BTC-USD"]
    redis_client.hdel(keys.product_leases("coinbase"), "a")
    assert a.check() == {"BTC-USD", "ETH-USD"}
    assert a.lost == 1, "only its own part was not there: it was taken for dead"

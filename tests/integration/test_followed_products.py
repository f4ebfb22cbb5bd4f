"""The followed products are the union of the selections of all ingest processes, on a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import redis

from app.errors import InvalidInput
from app.storage import keys
from app.storage.products import FollowedProduct, ProductCache
from tests.support import eventually

pytestmark = pytest.mark.integration

HOUR_S = 3600.0
NO_TIME_S = 0.0
"""Lease of the reader: any other process that has not renewed in this millisecond is dead."""


def followed(*names: str) -> list[FollowedProduct]:
    return [FollowedProduct(name, name) for name in names]


@pytest.fixture
def ingest(redis_client: redis.Redis) -> Callable[..., ProductCache]:
    """An ingest process by its name, with the lease that it grants to itself and the others."""
    return lambda name, lease_s=HOUR_S: ProductCache(redis_client, "coinbase", process=name, lease_s=lease_s)


@pytest.fixture
def let_time_pass(redis_client: redis.Redis) -> Callable[[], None]:
    """Wait until Redis' clock shows another millisecond."""

    def now_ms() -> int:
        seconds, micros = redis_client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def wait() -> None:
        before = now_ms()
        eventually(lambda: now_ms() > before, interval=0)

    return wait


Ingest = Callable[..., ProductCache]
Wait = Callable[[], None]


def test_a_product_is_followed_until_no_process_selects_it(ingest: Ingest) -> None:
    a, b = ingest("a"), ingest("b")
    a.follow(followed("BTC-USD", "ETH-USD"))
    b.follow(followed("ETH-USD", "SOL-EUR"))
    assert a.delivered() == ["BTC-USD", "ETH-USD", "SOL-EUR"]
    a.follow(followed("BTC-USD"))
    assert b.delivered() == ["BTC-USD", "ETH-USD", "SOL-EUR"]
    b.follow(followed("SOL-EUR"))
    assert a.delivered() == ["BTC-USD", "SOL-EUR"]
    b.follow([])
    a.follow([])
    assert a.read() == []
    assert a.renew() is not None, "it has selected, though nothing"


def test_a_stopped_installation_keeps_its_products(ingest: Ingest, let_time_pass: Wait) -> None:
    ingest("a").follow(followed("BTC-USD"))
    ingest("b").follow(followed("ETH-USD"))
    let_time_pass()
    back = ingest("a2", NO_TIME_S)
    assert back.delivered() == ["BTC-USD", "ETH-USD"]
    back.follow(followed("BTC-USD"), has_selected=False)  # the exchange's listing cannot be read
    for _ in range(3):
        let_time_pass()
        back.renew()
    assert back.delivered() == ["BTC-USD", "ETH-USD"]


def test_the_part_of_a_dead_process_ends_one_lease_after_a_later_selection(ingest: Ingest, let_time_pass: Wait) -> None:
    ingest("dead").follow(followed("BTC-USD"))
    let_time_pass()
    ingest("new").follow(followed("ETH-USD"))
    ingest("new").renew()
    assert ingest("new").delivered() == ["BTC-USD", "ETH-USD"], "its lease is not over"
    let_time_pass()
    ingest("new", NO_TIME_S).renew()
    assert ingest("new").delivered() == ["ETH-USD"]


def test_a_selection_younger_than_a_lease_supersedes_no_other(
    redis_client: redis.Redis, ingest: Ingest, let_time_pass: Wait
) -> None:
    """All processes of an installation start within a minute: the first one must not end the list of the others."""
    ingest("dead").follow(followed("BTC-USD"))
    redis_client.hset(keys.product_leases("coinbase"), "dead", "1000 1000")  # for hours, on any clock
    ingest("new").follow(followed("ETH-USD"))
    let_time_pass()
    ingest("new").renew()
    assert ingest("new").delivered() == ["BTC-USD", "ETH-USD"]
    assert set(redis_client.hkeys(keys.product_parts("coinbase"))) == {b"", b"new"}, "but it is taken for dead"
    ingest("new", NO_TIME_S).renew()
    assert ingest("new").delivered() == ["ETH-USD"]


def test_an_earlier_selection_supersedes_no_other(ingest: Ingest, let_time_pass: Wait) -> None:
    old = ingest("old", NO_TIME_S)
    old.follow(followed("ETH-USD"))
    let_time_pass()
    ingest("dead").follow(followed("BTC-USD"))
    for _ in range(3):
        let_time_pass()
        old.renew()
    assert old.delivered() == ["BTC-USD", "ETH-USD"]
    ingest("dead2", HOUR_S).follow(followed("SOL-USD"))
    let_time_pass()
    old.renew()
    assert old.delivered() == ["BTC-USD", "ETH-USD", "SOL-USD"], "the dead ones are merged, and lose nothing"
    let_time_pass()
    old.follow(followed("ETH-USD"))
    let_time_pass()
    old.renew()
    assert old.delivered() == ["ETH-USD"]


def test_parts_of_crashing_processes_do_not_pile_up(
    redis_client: redis.Redis, ingest: Ingest, let_time_pass: Wait
) -> None:
    for number in range(50):
        ingest(f"host:{number}", NO_TIME_S).follow(followed("BTC-USD", f"P{number % 7}-USD"))
        let_time_pass()
    assert redis_client.hlen(keys.product_parts("coinbase")) <= 2
    assert redis_client.hlen(keys.product_leases("coinbase")) <= 3
    assert redis_client.hlen(keys.products("coinbase")) <= 8
    assert "BTC-USD" in ingest("reader").delivered()


def test_a_process_that_was_taken_for_dead_notices(redis_client: redis.Redis, ingest: Ingest) -> None:
    a = ingest("a")
    assert a.renew() is None, "it has not published anything"
    a.follow(followed("BTC-USD"))
    assert a.renew() is not None
    redis_client.delete(keys.products("coinbase"))
    assert a.renew() is None
    a.follow(followed("BTC-USD"), has_selected=False)
    redis_client.flushall()
    assert a.renew() is None
    assert not a.is_known()


def test_the_revision_grows_with_every_change_and_with_nothing_else(ingest: Ingest) -> None:
    a, b = ingest("a"), ingest("b")
    a.follow(followed("BTC-USD"))
    b.follow(followed("ETH-USD"))
    before = a.renew()
    assert a.renew() == b.renew() == before
    b.refuse({"BTC-USD": "why"})
    refused = a.renew()
    assert refused != before
    b.refuse({"NOPE-USD": "why"})
    assert a.renew() == refused
    b.follow([])
    assert a.renew() != refused


def test_only_the_feeding_process_withdraws_a_refusal(ingest: Ingest) -> None:
    a, b = ingest("a"), ingest("b")
    a.follow(followed("BTC-USD", "ETH-USD"))
    a.refuse({"BTC-USD": "the exchange did not confirm its subscription"})
    b.follow(followed("BTC-USD", "SOL-USD"), feeds=lambda product: product == "SOL-USD")
    assert a.delivered() == ["ETH-USD", "SOL-USD"]
    a.follow(followed("BTC-USD", "ETH-USD"))
    assert a.delivered() == ["BTC-USD", "ETH-USD", "SOL-USD"]


def test_a_refusal_does_not_bring_back_what_is_no_longer_followed(redis_client: redis.Redis, ingest: Ingest) -> None:
    a = ingest("a")
    a.follow(followed("BTC-USD"))
    late = ProductCache(redis_client, "coinbase", process="b")
    late.read = lambda: followed("BTC-USD", "ETH-USD")  # an older copy of it
    late.refuse({"ETH-USD": "why", "BTC-USD": "why"})
    assert a.read() == [FollowedProduct("BTC-USD", "BTC-USD", "why")]


def test_readers_never_see_half_a_list(ingest: Ingest) -> None:
    lists = [[f"{base}{i}-USD" for i in range(200)] for base in "AB"]
    a, reader, is_over = ingest("a"), ingest("reader"), threading.Event()
    a.follow(followed(*lists[0]))

    def change() -> None:
        for turn in range(60):
            a.follow(followed(*lists[turn % 2]))
        is_over.set()

    writer = threading.Thread(target=change)
    writer.start()
    while not is_over.is_set():
        assert reader.delivered() in [sorted(names) for names in lists]
    writer.join()


def test_an_unreadable_row_is_skipped_alone(
    redis_client: redis.Redis, ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    a = ingest("a")
    a.follow(followed("BTC-USD", "ETH-USD"))
    row = b'{"source":"X-USD","refused":null}'
    for name, raw in {b"\xff": row, b"A B": row, b"Q-USD": b"{", b"R-USD": b"[]", b"S-USD": b'{"source":7}'}.items():
        redis_client.hset(keys.products("coinbase"), name, raw)  # type: ignore[arg-type]
    for _ in range(3):
        assert a.delivered() == ["BTC-USD", "ETH-USD"]
    assert sorted(r.getMessage().split("'")[1] for r in caplog.records) == ["A B", "Q-USD", "R-USD", "S-USD", "\\xff"]
    a.refuse({"BTC-USD": "why"})
    a.follow(followed("BTC-USD"))
    assert redis_client.hlen(keys.products("coinbase")) == 1


@pytest.mark.parametrize("wrong", [FollowedProduct("A B", "A-USD"), FollowedProduct("A-USD", "{x}")])
def test_an_invalid_product_cannot_be_followed(ingest: Ingest, wrong: FollowedProduct) -> None:
    with pytest.raises(InvalidInput, match="cannot be followed"):
        ingest("a").follow([*followed("BTC-USD"), wrong])
    assert ingest("a").read() == []

"""The ingest process that feeds a product depends on the product's name alone."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from app.exchange.listing import ListedProduct
from app.ingest.product_selection import _chosen, is_in_share
from app.storage.products import FollowedProduct
from tests.support import ROOT


def listing(count: int, seed: int, noise: float) -> list[ListedProduct]:
    """`count` products whose volumes differ by about `noise` from one `seed` to another."""
    changes = random.Random(seed)
    return [
        ListedProduct(f"P{i:03}-USD", "USD", round(1e9 / (i + 1) ** 1.2 * (1 + changes.gauss(0, noise)), 2))
        for i in range(count)
    ]


def share_of(products: Iterable[FollowedProduct], share: str) -> set[str]:
    return {p.product for p in products if is_in_share(p.product, share)}


@given(st.sampled_from(["all:USD", "top:25:USD"]), st.floats(0, 0.5), st.integers(2, 7), st.integers(0, 99))
def test_each_product_is_fed_once_however_the_listings_differ(selection: str, noise: float, of: int, seed: int) -> None:
    chosen = [_chosen((selection,), listing(300, seed + part, noise)) for part in range(of)]
    followed = {p.product: p for each in chosen for p in each}
    shares = [share_of(followed.values(), f"{part}/{of}") for part in range(1, of + 1)]
    assert set().union(*shares) == set(followed)
    assert sum(map(len, shares)) == len(followed)
    early = [share_of(each, f"{part}/{of}") for part, each in enumerate(chosen, 1)]
    assert all(a <= b for a, b in zip(early, shares, strict=True)), "none changes hands when others' lists are seen"


@given(st.text(min_size=1, max_size=20), st.integers(1, 999))
def test_a_name_is_in_exactly_one_share(name: str, of: int) -> None:
    assert sum(is_in_share(name, f"{part}/{of}") for part in range(1, of + 1)) == 1


def test_shares_are_about_equal() -> None:
    products = [FollowedProduct(f"P{i}-USD", f"P{i}-USD") for i in range(3_000)]
    assert all(850 < len(share_of(products, f"{part}/3")) < 1_150 for part in (1, 2, 3))


def test_every_process_agrees_whatever_its_hash_seed() -> None:
    code = """
from app.ingest.product_selection import is_in_share
print("".join(str(int(is_in_share(f"P{i}-USD", "2/3"))) for i in range(99)))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    (flags,) = outputs
    assert 15 < flags.count(b"1") < 55


def test_shares_of_names_are_the_same_in_every_release() -> None:
    """Processes of two releases run side by side during an update."""
    parts = {name: [_part(name, of) for of in (2, 3, 7)] for name in ("BTC-USD", "ETH-USD", "SOL-USD")}
    assert parts == {"BTC-USD": [1, 1, 4], "ETH-USD": [2, 3, 2], "SOL-USD": [2, 3, 5]}


def _part(name: str, of: int) -> int:
    return next(part for part in range(1, of + 1) if is_in_share(name, f"{part}/{of}"))

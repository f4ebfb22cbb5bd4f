"""Resolves a selection of products with the exchange's listing. Pure."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from app.errors import InvalidInput
from app.exchange.listing import ListedProduct

NEAREST = 5
"""Ids or currencies suggested instead of one that matches nothing."""


UNLISTED = "the exchange does not list it"


def select_products(selection: Sequence[str], listing: Iterable[ListedProduct]) -> list[str]:
    """The product ids of `selection`, without repetition.

    `all:USD` is every tradable product quoted in USD, `top:25:USD` the 25 of them with the most volume, both by volume
    and without aliases. An id is always selected, even if it is not tradable; `doubts` has the reasons. Raises
    `InvalidInput` for a selection of another form.
    """
    ranked = _ranked(listing)
    chosen: dict[str, None] = {}
    for part in selection:
        chosen.update(dict.fromkeys(_meant(part, ranked)))
    return list(chosen)


def unmatched(selection: Sequence[str], listing: Sequence[ListedProduct]) -> dict[str, str]:
    """The parts of `selection` that match nothing in the listing, each with a reason or a suggestion."""
    ranked, listed = _ranked(listing), [p.product for p in listing]
    found = {}
    for part in selection:
        if ":" not in part:
            if part not in listed:
                near = difflib.get_close_matches(part, listed, n=NEAREST, cutoff=0.75)
                found[part] = UNLISTED + (f"; did you mean {' or '.join(near)}?" if near else "")
        elif not _meant(part, ranked):
            found[part] = _other_currencies(part, ranked, listing)
    return found


def _other_currencies(part: str, ranked: Sequence[ListedProduct], listing: Sequence[ListedProduct]) -> str:
    """Why no product is quoted in the currency of `part`, and how many are in others, the nearest name first."""
    head, _, currency = part.rpartition(":")
    feeding = Counter(p.alias.rpartition("-")[2] for p in listing if p.alias and p.quote == currency)
    if feeding:
        ((other, _),) = feeding.most_common(1)
        return f"products quoted in {currency} share the candles of those quoted in {other}: use {head}:{other}"
    counts = Counter(p.quote for p in ranked)
    near = difflib.get_close_matches(currency, list(counts), n=1)
    shown = list(dict.fromkeys([*near, *(name for name, _ in counts.most_common(NEAREST))]))[:NEAREST]
    offered = ", ".join(f"{name} ({counts[name]})" for name in shown)
    return f"no tradable product is quoted in {currency}; there are {offered or 'none in any currency'}"


def _ranked(listing: Iterable[ListedProduct]) -> list[ListedProduct]:
    return sorted((p for p in listing if p.is_tradable and not p.alias), key=lambda p: (-p.quote_volume_24h, p.product))


def doubts(selection: Sequence[str], listing: Iterable[ListedProduct]) -> dict[str, str]:
    """The products named in `selection` that are not tradable, each with the reason."""
    named = [part for part in selection if ":" not in part]
    return {product: reason for product, reason in untradable(named, listing).items() if reason}


def untradable(products: Iterable[str], listing: Iterable[ListedProduct]) -> dict[str, str | None]:
    """Why each of `products` is not tradable in the listing; None if it is."""
    known = {p.product: p.untradable_because for p in listing}
    return {product: known.get(product, UNLISTED) for product in products}


def aliases(listing: Iterable[ListedProduct]) -> dict[str, str]:
    """Product to the product whose stream it shares (`BTC-USDC` to `BTC-USD`)."""
    return {p.product: p.alias for p in listing if p.alias}


def _meant(part: str, ranked: Sequence[ListedProduct]) -> list[str]:
    kind, *rest = part.split(":")
    if not rest:
        return [part]
    quoted = [p.product for p in ranked if p.quote == rest[-1]]
    if kind == "all" and len(rest) == 1 and rest[0]:
        return quoted
    if kind == "top" and len(rest) == 2 and rest[0].isdecimal():
        return quoted[: int(rest[0])]
    raise InvalidInput(f"invalid selection {part!r}: use a product (BTC-USD), all:USD or top:25:USD")

"""Which products a selection means, given the exchange's listing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.errors import InvalidInput
from app.exchange.coinbase.models import Product


def select_products(selection: Sequence[str], listing: Iterable[Product]) -> list[str]:
    """The product ids that `selection` means, without repetition.

    `all:USD` is every tradable product quoted in USD, `top:25:USD` the 25 of them with the most volume, both by volume
    and without aliases. An id stands for itself, whatever the listing says of it; `doubts` has the reasons. Raises
    `InvalidInput` for a selection of another form.
    """
    ranked = sorted(
        (p for p in listing if p.tradable and not p.alias), key=lambda p: (-p.quote_volume_24h, p.product_id)
    )
    chosen: dict[str, None] = {}
    for part in selection:
        chosen.update(dict.fromkeys(_meant(part, ranked)))
    return list(chosen)


def doubts(selection: Sequence[str], listing: Iterable[Product]) -> dict[str, str]:
    """The products named in `selection` that will hardly trade, each with the reason."""
    known = {p.product_id: p for p in listing}
    reasons: dict[str, str] = {}
    for part in selection:
        if ":" in part:
            continue
        product = known.get(part)
        reason = "the exchange does not list it" if product is None else product.untradable_because
        if reason:
            reasons[part] = reason
    return reasons


def aliases(listing: Iterable[Product]) -> dict[str, str]:
    """Product to the product whose stream it shares (`BTC-USDC` to `BTC-USD`)."""
    return {p.product_id: p.alias for p in listing if p.alias}


def _meant(part: str, ranked: Sequence[Product]) -> list[str]:
    kind, *rest = part.split(":")
    if not rest:
        return [part]
    quoted = [p.product_id for p in ranked if p.quote_currency_id == rest[-1]]
    if kind == "all" and len(rest) == 1 and rest[0]:
        return quoted
    if kind == "top" and len(rest) == 2 and rest[0].isdecimal():
        return quoted[: int(rest[0])]
    raise InvalidInput(f"{part!r} is no selection: use a product (BTC-USD), all:USD or top:25:USD")

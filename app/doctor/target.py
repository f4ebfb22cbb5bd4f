"""What is examined: an exchange, how it is reached, and the times on which the software relies."""

from __future__ import annotations

from dataclasses import dataclass

from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """One exchange. `products`: ids, or selections such as `top:25:USD`."""

    exchange: str
    ws_url: str
    rest_url: str
    products: tuple[str, ...]
    requests_per_second: float
    timeout_s: float
    products_per_connection: int
    close_grace_s: float
    settling_s: float


EXAMINED = ("coinbase",)
"""Exchanges about which assumptions are written down."""


def targets(settings: Settings) -> list[Target]:
    """Every exchange that `settings` name and that can be examined."""
    return [
        Target(
            exchange=name,
            ws_url=section.ws_url,
            rest_url=section.rest_url,
            products=section.products,
            requests_per_second=section.rest_requests_per_second,
            timeout_s=settings.rest_timeout_seconds,
            products_per_connection=settings.products_per_connection,
            close_grace_s=settings.close_grace_seconds,
            settling_s=settings.settling_seconds,
        )
        for name in settings.exchanges
        if name in EXAMINED
        for section in (settings.exchange(name),)
    ]

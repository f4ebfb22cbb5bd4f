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


def targets(settings: Settings) -> list[Target]:
    """Every exchange that `settings` name."""
    return [
        Target(
            exchange="coinbase",
            ws_url=settings.exchange_ws_url,
            rest_url=settings.exchange_rest_url,
            products=settings.products,
            requests_per_second=settings.rest_requests_per_second,
            timeout_s=settings.rest_timeout_seconds,
            products_per_connection=settings.products_per_connection,
            close_grace_s=settings.close_grace_seconds,
            settling_s=settings.settling_seconds,
        )
    ]

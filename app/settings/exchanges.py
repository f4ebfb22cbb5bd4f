"""Settings of one exchange: a section of the file, with the defaults of the registry."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from app.exchange.registry import names, venue
from app.market.product_ids import is_currency, is_product_id
from app.settings.checks import SECRET, split, url_of
from app.util.quoting import quoted

_SELECTION = re.compile(r"(?:all|top:[1-9][0-9]{0,3}):(.+)")


def is_selection(text: str) -> bool:
    match = _SELECTION.fullmatch(text)
    return match is not None and is_currency(match[1])


class ExchangeSettings(BaseModel):
    """One field per setting of an exchange."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    products: Annotated[tuple[str, ...], BeforeValidator(split)] = Field(
        description="Products, comma separated (`BTC-USD,ETH-USD`), or `all:USD`, or `top:25:USD` by 24 h volume."
    )
    ws_url: Annotated[str, url_of("ws", "wss"), SECRET] = Field(
        repr=False, description="The exchange's WebSocket (market data)."
    )
    rest_url: Annotated[str, url_of("http", "https"), SECRET] = Field(
        repr=False, description="The exchange's REST origin, without a path."
    )
    rest_requests_per_second: float = Field(
        ge=0.01, le=30, description="REST requests in any second, over all processes and hosts."
    )

    @field_validator("products")
    @classmethod
    def _validate_products(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one product, or all:USD, or top:25:USD")
        wrong = [v for v in value if not (is_product_id(v) or is_selection(v))]
        if any("://" in v or "@" in v for v in wrong):
            raise ValueError("a URL is neither a product (BTC-USD) nor a selection (all:USD, top:25:USD)")
        if wrong:
            what = (
                f"{quoted(wrong[0], is_name=True)} is neither a product (BTC-USD) nor a selection (all:USD, top:25:USD)"
            )
            hint = "; separate them by commas" if re.search(r"[;| ]", wrong[0]) else ""
            raise ValueError(what + ("; write it in capitals" if is_product_id(wrong[0].upper()) else hint))
        return tuple(dict.fromkeys(value))


def with_defaults(values: dict[str, object]) -> dict[str, object]:
    """`values` of settings, with what the registry says about each exchange under what is set."""
    sections = {}
    for name in names():
        given = values.get(name, {})
        defaults = {field: getattr(venue(name), field) for field in ExchangeSettings.model_fields}
        sections[name] = {**defaults, **given} if isinstance(given, dict) else given
    return {**values, **sections}

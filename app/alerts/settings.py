"""The alerts section of the settings: rules, and the channels that deliver their alerts.

It has no secrets: it names the variables that hold them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

from app.alerts.bars import FEW, MANY
from app.alerts.rules import LevelRule, PriceRule, ReversalRule, Rule, StageRule
from app.indicators.stages import Stage
from app.market.product_ids import ProductId
from app.market.timeframes import Timeframe

MAX_COOLDOWN = 48
"""Bars; so that the history of a rule holds several cooldowns."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError("must be the name of an environment variable, such as DISCORD_WEBHOOK, not the secret itself")
    return value


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
Variable = Annotated[str, AfterValidator(_variable)]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,]+@[^@\s<>,]+$", max_length=254)]
Percent = Annotated[float, Field(strict=True, ge=0, le=1000, allow_inf_nan=False)]
Level = Annotated[float, Field(strict=True, ge=-10_000, le=10_000, allow_inf_nan=False)]
Price = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RuleSettings(Section):
    """Settings of every rule. An empty list of products, timeframes or channels means all of them."""

    name: Name
    products: tuple[ProductId, ...] = ()
    except_products: tuple[ProductId, ...] = ()
    timeframes: tuple[Timeframe, ...] = ()
    cooldown_bars: int = Field(3, strict=True, ge=0, le=MAX_COOLDOWN)
    channels: tuple[Name, ...] = ()

    def covers(self, product: str, timeframe: Timeframe) -> bool:
        return (
            (not self.products or product in self.products)
            and product not in self.except_products
            and (not self.timeframes or timeframe in self.timeframes)
        )

    @property
    def span(self) -> int:
        """Bars of a span of history that its events may depend on; 0 if only the bar itself matters."""
        return min(max(16 * self.cooldown_bars, FEW), MANY) if self.cooldown_bars else 0

    def cooldown_s(self, timeframe: Timeframe) -> int:
        return self.cooldown_bars * timeframe.seconds

    @property
    def definition(self) -> str:
        """Changes if the rule's events may change."""
        shown = self.model_dump_json(exclude={"channels", "products", "except_products", "timeframes"})
        return f"{zlib.crc32(shown.encode()):08x}"

    def rule(self) -> Rule:
        raise NotImplementedError


class LevelSettings(RuleSettings):
    kind: Literal["level"]
    levels: tuple[Level, ...] = Field((-400, -350, -300, -250, -200, -150, 150, 200, 250, 300, 350, 400), min_length=1)

    @model_validator(mode="after")
    def _validate_levels(self) -> Self:
        if 0 in self.levels:
            raise ValueError("levels must not be 0: negative levels are crossed downwards, positive ones upwards")
        return self

    def rule(self) -> Rule:
        return LevelRule(self.levels)


class ReversalSettings(RuleSettings):
    kind: Literal["reversal"]
    zone: float = Field(150, strict=True, gt=0, le=10_000)
    oversold_percent: Percent = 5
    overbought_percent: Percent = 3

    @property
    def span(self) -> int:
        return MANY  # a visit of the zone may be long

    def rule(self) -> Rule:
        return ReversalRule(self.zone, self.oversold_percent, self.overbought_percent)


class StageSettings(RuleSettings):
    kind: Literal["stage"]
    from_: tuple[Stage, ...] = Field(tuple(Stage), alias="from", min_length=1)
    to: tuple[Stage, ...] = Field(tuple(Stage), min_length=1)

    def rule(self) -> Rule:
        return StageRule(self.from_, self.to)


class PriceSettings(RuleSettings):
    kind: Literal["price"]
    products: tuple[ProductId, ...] = Field(min_length=1)
    prices: tuple[Price, ...] = Field(min_length=1)
    direction: Literal["up", "down", "both"] = "both"

    def rule(self) -> Rule:
        return PriceRule(self.prices, ("up", "down") if self.direction == "both" else (self.direction,))


AnyRule: TypeAlias = Annotated[
    LevelSettings | ReversalSettings | StageSettings | PriceSettings, Field(discriminator="kind")
]


class ChannelSettings(Section):
    """Settings of every channel. `at_once`: concurrent messages."""

    @property
    def at_once(self) -> int:
        return 1

    @property
    def secrets(self) -> tuple[str, ...]:
        """The environment variables that must be set."""
        return tuple(getattr(self, f) for f in type(self).model_fields if f.endswith("_env") and getattr(self, f))


class LogSettings(ChannelSettings):
    kind: Literal["log"]


class DiscordSettings(ChannelSettings):
    kind: Literal["discord"]
    url_env: Variable
    chart: bool = True
    allow_private: bool = False


class WebhookSettings(ChannelSettings):
    kind: Literal["webhook"]
    url_env: Variable
    secret_env: Variable | None = None
    allow_private: bool = False

    @property
    def at_once(self) -> int:
        return 4


class TelegramSettings(ChannelSettings):
    kind: Literal["telegram"]
    token_env: Variable
    chat: Annotated[str, StringConstraints(pattern=r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{4,40})$")]
    chart: bool = True
    api_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#@]+$")] = "https://api.telegram.org"
    allow_private: bool = False


class EmailSettings(ChannelSettings):
    kind: Literal["email"]
    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]+$", max_length=253)]
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Address
    to: tuple[Address, ...] = Field(min_length=1, max_length=50)
    user_env: Variable | None = None
    password_env: Variable | None = None
    chart: bool = True

    @model_validator(mode="after")
    def _validate_login(self) -> Self:
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError("set both user_env and password_env, or neither")
        return self


AnyChannel: TypeAlias = Annotated[
    LogSettings | DiscordSettings | WebhookSettings | TelegramSettings | EmailSettings, Field(discriminator="kind")
]


class DeliverySettings(Section):
    """Limits in real time. An expired claim is taken over, so it must outlast one attempt. `proxy_env`: variable with
    the URL of an HTTP proxy for all channels but e-mail.
    """

    timeout_seconds: float = Field(10, gt=0, le=60)
    lease_seconds: float = Field(45, gt=0, le=600)
    max_age_hours: float = Field(24, gt=0, le=24 * 30)
    proxy_env: Variable | None = None

    @model_validator(mode="after")
    def _validate_lease(self) -> Self:
        if self.lease_seconds < 3 * self.timeout_seconds:
            raise ValueError("lease_seconds must be at least three times timeout_seconds")
        return self


class AlertSettings(Section):
    """The section. `rule`: in file order; `channel`: by name."""

    rule: tuple[AnyRule, ...] = ()
    channel: dict[Name, AnyChannel] = Field({}, max_length=20)
    delivery: DeliverySettings = DeliverySettings(timeout_seconds=10, lease_seconds=45, max_age_hours=24)

    @model_validator(mode="before")
    @classmethod
    def _fill_kinds(cls, values: object) -> object:
        """The kind of a channel defaults to its name."""
        channels = values.get("channel") if isinstance(values, dict) else None
        if not isinstance(values, dict) or not isinstance(channels, dict):
            return values
        filled = {name: {"kind": name, **c} if isinstance(c, dict) else c for name, c in channels.items()}
        return {**values, "channel": filled}

    def never(self, products: Sequence[str], timeframes: Sequence[Timeframe]) -> Iterator[str]:
        """Problems of rules that name a product or timeframe not in the settings: they never raise an event."""
        is_known = not any(":" in part for part in products)  # only the exchange can resolve a selection
        for rule in self.rule:
            if unknown := [t for t in rule.timeframes if t not in timeframes]:
                yield f"rule {rule.name!r} names {unknown[0]}, but the timeframes are {','.join(timeframes)}"
            if is_known and (gone := [p for p in rule.products if p not in products]):
                yield f"rule {rule.name!r} names {gone[0]}, but the products are {','.join(products)}"

    def contradictions(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Rules that contradict others or the channels: place and reason."""
        names: set[str] = set()
        for i, rule in enumerate(self.rule):
            if rule.name in names:
                yield ("rule", i, "name"), f"duplicate rule name {rule.name!r}"
            names.add(rule.name)
            if unknown := [c for c in rule.channels if c not in self.channels]:
                known = ", ".join(self.channels)
                yield ("rule", i, "channels"), f"unknown channel {unknown[0]!r}: use one of {known}"

    @property
    def counted(self) -> str:
        """How many there are, in words."""
        return f"alert rules: {len(self.rules)}, channels: {len(self.channels)}"

    @property
    def channels(self) -> Mapping[str, AnyChannel]:
        """Every channel; the log if there is none."""
        return self.channel or {"log": LogSettings(kind="log")}

    @property
    def rules(self) -> tuple[AnyRule, ...]:
        """Every rule; the built-in ones if there is none."""
        return self.rule or BUILT_IN.rule


RULE_KINDS = ("level", "reversal", "stage", "price")
CHANNEL_KINDS = ("log", "discord", "webhook", "telegram", "email")

BUILT_IN = AlertSettings(
    rule=tuple(
        TypeAdapter(list[AnyRule]).validate_python(
            [{"name": "levels", "kind": "level"}, {"name": "reversals", "kind": "reversal"}]
        )
    )
)
"""Without the section: levels and reversals, delivered to the log."""

_SECTIONS: list[type[Section]] = [AlertSettings, DeliverySettings]
_SECTIONS += [*RuleSettings.__subclasses__(), *ChannelSettings.__subclasses__()]
KEYS = frozenset(field.alias or name for section in _SECTIONS for name, field in section.model_fields.items())
"""All keys of the section."""

"""The alerts file: rules, and the channels that deliver their alerts. Validated before anything runs.

It has no secrets: it names the environment variables that hold them.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from app.alerts.bars import FEW, MANY
from app.alerts.rules import LevelRule, PriceRule, ReversalRule, Rule, StageRule
from app.alerts.toml_lines import line_of, parse
from app.errors import InvalidInput
from app.indicators.stages import Stage
from app.market.product_ids import ProductId
from app.market.timeframes import Timeframe
from app.util.quoting import path_shown, quoted

MAX_BYTES = 256 * 1024
MAX_NAMED_PROBLEMS = 10
"""Problems reported per file."""
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
    """The whole file. `rule`: in file order; `channel`: by name."""

    rule: tuple[AnyRule, ...] = ()
    channel: dict[Name, AnyChannel] = Field({}, max_length=20)
    delivery: DeliverySettings = DeliverySettings(timeout_seconds=10, lease_seconds=45, max_age_hours=24)

    @classmethod
    def load(cls, path: str | None) -> AlertSettings:
        """The settings in the file at `path` (ALERTS_FILE), or the built-in ones. `InvalidInput` names the line."""
        if not path:
            return BUILT_IN
        try:
            text = _read(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise InvalidInput(f"ALERTS_FILE: cannot read {path_shown(path)}: {reason}") from None
        return cls.parse(text, f"ALERTS_FILE: {path_shown(path)}")

    @classmethod
    def parse(cls, text: str, name: str = "alerts file") -> AlertSettings:
        try:
            table = parse(text)
        except InvalidInput as error:
            raise InvalidInput(f"{name}, {error}") from None
        _fill_kinds(table)
        try:
            settings = cls.model_validate(table)
        except ValidationError as error:
            problems = [_problem(text, e) for e in error.errors(include_url=False)[:MAX_NAMED_PROBLEMS]]
        else:
            problems = [
                (line_of(text, path), why) for path, why in islice(settings._contradictions(), MAX_NAMED_PROBLEMS)
            ]
        if problems:
            told = "\n  ".join(f"{name}, line {line}: {why}" for line, why in sorted(set(problems)))
            raise InvalidInput(told)
        return settings

    def never(self, products: Sequence[str], timeframes: Sequence[Timeframe]) -> Iterator[str]:
        """Problems of rules that name a product or timeframe not in the settings: they never raise an event."""
        is_known = not any(":" in part for part in products)  # only the exchange can resolve a selection
        for rule in self.rule:
            if unknown := [t for t in rule.timeframes if t not in timeframes]:
                yield f"rule {rule.name!r} names {unknown[0]}, but TIMEFRAMES is {','.join(timeframes)}"
            if is_known and (gone := [p for p in rule.products if p not in products]):
                yield f"rule {rule.name!r} names {gone[0]}, but PRODUCTS is {','.join(products)}"

    def _contradictions(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        names: set[str] = set()
        for i, rule in enumerate(self.rule):
            if rule.name in names:
                yield ("rule", i, "name"), f"duplicate rule name {rule.name!r}"
            names.add(rule.name)
            if unknown := [c for c in rule.channels if c not in self.channels]:
                known = ", ".join(self.channels)
                yield ("rule", i, "channels"), f"unknown channel {unknown[0]!r}: use one of {known}"

    @property
    def channels(self) -> Mapping[str, AnyChannel]:
        """Every channel; the log if the file names none."""
        return self.channel or {"log": LogSettings(kind="log")}

    @property
    def rules(self) -> tuple[AnyRule, ...]:
        """Every rule; the built-in ones if the file has none."""
        return self.rule or BUILT_IN.rule


def _read(path: str) -> str:
    """The text of a regular file; a pipe or a device might never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidInput(f"{path_shown(path)} is not a file")
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InvalidInput(f"{path_shown(path)} is larger than {MAX_BYTES} bytes")
    return raw.decode("utf-8-sig")  # Windows editors write a byte order mark


def _fill_kinds(table: dict[str, Any]) -> None:
    """The kind of a channel defaults to its name."""
    channels = table.get("channel")
    if isinstance(channels, dict):
        for name, channel in channels.items():
            if isinstance(channel, dict):
                channel.setdefault("kind", name)


def _problem(text: str, error: Any) -> tuple[int, str]:
    """Line and reason of a pydantic error. The value is not shown: it may be a secret in the wrong place."""
    place = tuple(error["loc"])
    place = place[:2] + place[3:] if place[2:3] and place[2] in (*_KINDS, "[key]") else place
    if error["type"] == "union_tag_invalid":
        place = (*place, "kind")
    said = error["msg"].removeprefix("Value error, ")
    where = ".".join(str(part) if _WORD.fullmatch(str(part)) else quoted(str(part)) for part in place)
    if error["type"] == "extra_forbidden":
        said = "no such setting"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        known = ", ".join(_RULE_KINDS if place[:1] == ("rule",) else _CHANNEL_KINDS)
        said = f"must be one of {known}" if place[-1:] == ("kind",) else f"kind must be one of {known}"
    return line_of(text, place), f"{where}: {said}" if where else said


_WORD = re.compile(r"[\w-]{1,40}")
_RULE_KINDS = ("level", "reversal", "stage", "price")
_CHANNEL_KINDS = ("log", "discord", "webhook", "telegram", "email")
_KINDS = frozenset((*_RULE_KINDS, *_CHANNEL_KINDS))

BUILT_IN = AlertSettings(
    rule=tuple(
        TypeAdapter(list[AnyRule]).validate_python(
            [{"name": "levels", "kind": "level"}, {"name": "reversals", "kind": "reversal"}]
        )
    )
)
"""Settings without a file: levels and reversals, delivered to the log."""

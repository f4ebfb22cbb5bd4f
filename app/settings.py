"""Settings: name, type, unit, default and meaning of each. Read once, from the environment."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from app.errors import InvalidInput
from app.indicators.window import WINDOW
from app.market.product_ids import is_currency, is_product_id
from app.market.timeframes import BASE, Timeframe
from app.storage.address import Address
from app.storage.certificates import problem_of_authority, problem_of_options
from app.util.quoting import HIDDEN, MAX_NAME, path_shown, quoted, readable

_SELECTION = re.compile(r"(?:all|top:[1-9][0-9]{0,3}):(.+)")

OWN_PREFIXES = ("CANDLEWICK_", "EXCHANGE_", "REST_", "GAP_", "RECONCILE_", "CLOSE_", "SETTLING_")
"""Prefixes of this program's variables: an unknown variable that starts with one is refused."""

PLATFORM_NAMES = {"PORT": "WEB_PORT"}
"""Names that hosting platforms use for a setting; ours wins if both are set."""

SECRETS = ("web_token", "flower_basic_auth", "redis_url", "exchange_ws_url", "exchange_rest_url", "alerts_file")
"""Settings whose value is never shown: each is a secret, or may contain one."""

MAX_SECONDS = 1e9
"""Longest interval of a periodic task: in effect, never."""

MAX_CHARACTERS = 65_536
"""Longest value of a setting."""


def _is_selection(text: str) -> bool:
    match = _SELECTION.fullmatch(text)
    return match is not None and is_currency(match[1])


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_NAME_LENGTH = 253
_ZONE = re.compile(r"[A-Za-z0-9._-]{0,15}")


def _names_host(text: str) -> bool:
    """Whether `text` is an IP address, or a DNS name, which never ends in a number."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.split(".")
        return len(text) <= _NAME_LENGTH and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return _ZONE.fullmatch(text.partition("%")[2]) is not None


def _matching(pattern: str, otherwise: str) -> AfterValidator:
    """A validator: the whole value must match `pattern`; `otherwise` is the error."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


class Settings(BaseModel):
    """One field per setting; the environment variable is the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    exchange_ws_url: str = Field(
        "wss://advanced-trade-ws.coinbase.com", repr=False, description="The exchange's WebSocket (market data)."
    )
    exchange_rest_url: str = Field(
        "https://api.coinbase.com", repr=False, description="The exchange's REST origin, without a path."
    )
    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False, description="Redis or Valkey, 6.2 or later.")
    redis_ca_file: str = Field("", description="CA certificates (PEM) for Redis over TLS, if its CA is private.")
    redis_tls_verify: bool = Field(
        True, description="Whether to verify the certificate of Redis over TLS (`yes`, `no`)."
    )
    redis_connections: int = Field(
        4, ge=3, le=100, description="Most connections to Redis that a process keeps for its commands."
    )
    products: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        ("top:25:USD",),
        description="Products, comma separated (`BTC-USD,ETH-USD`), or `all:USD`, or `top:25:USD` by 24 h volume.",
    )
    timeframes: Annotated[tuple[Timeframe, ...], BeforeValidator(_split)] = Field(
        (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1),
        description="Timeframes, comma separated; must include `5m`, the one that the stream delivers.",
    )
    close_grace_seconds: float = Field(
        2.0,
        ge=0,
        le=60,
        description="Exchange seconds after its end at which a bucket closes if no later one has begun.",
    )
    settling_seconds: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="Exchange seconds after the end of a bucket from which a REST response about it is final.",
    )
    rest_requests_per_second: float = Field(
        5.0, ge=0.01, le=30, description="REST requests in any second, over all processes and hosts."
    )
    rest_timeout_seconds: float = Field(10.0, ge=0.01, le=120, description="Time-out of one REST request.")
    gap_scan_seconds: float = Field(
        300.0, ge=1, le=MAX_SECONDS, description="Exchange seconds between two scans for gaps."
    )
    reconcile_seconds: float = Field(
        3600.0, ge=1, le=MAX_SECONDS, description="Exchange seconds between two comparisons with REST."
    )
    series_capacity: int = Field(
        1000, ge=WINDOW, le=100_000, description="Candles kept for each product and timeframe."
    )
    products_per_connection: int = Field(
        100,
        ge=1,
        le=1000,
        description="Products per WebSocket connection; more products use more connections.",
    )
    ingest_share: str = Field(
        "1/1",
        description="Share of the products that this ingest feeds, split by name.",
    )
    events_kept: int = Field(20_000, ge=100, le=10_000_000, description="Entries kept in the event stream in Redis.")
    alerts_file: str = Field(
        "", description="File (TOML) of alert rules and channels; if empty, built-in rules deliver to the log."
    )
    web_host: str = Field("127.0.0.1", description="Address that the web server listens on.")
    web_port: int = Field(8000, ge=1, le=65535, description="Port of the web server.")
    web_token: Annotated[
        str,
        _matching(r"([!-~]{16,200})?", "must have 16 to 200 characters: visible ASCII without spaces"),
    ] = Field(
        "",
        repr=False,
        description="Secret that clients of the web server must send (16 to 200 visible characters); required to "
        "listen on an address that other machines can reach.",
    )
    web_hosts: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        (),
        description="Host names, comma separated, that the web server accepts without a token, besides this machine's "
        "own.",
    )
    web_requests_per_second: float = Field(
        100.0,
        ge=1,
        le=1_000_000,
        description="Requests per second that one client on another machine may send to the web server.",
    )
    web_root_path: Annotated[
        str,
        AfterValidator(lambda path: path.rstrip("/")),
        _matching(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", "must be a path without a query, such as /candlewick"),
    ] = Field("", description="Path below which a reverse proxy serves the web server, such as `/candlewick`.")
    flower_address: str = Field("127.0.0.1", description="Address that Flower listens on.")
    flower_port: int = Field(5555, ge=1, le=65535, description="Port of Flower.")
    flower_basic_auth: Annotated[
        str,
        _matching(
            r"([^:,\s]+:[^:,\s]{8,})?",
            "must be user:password; the password has at least 8 characters, and no space, comma or colon",
        ),
    ] = Field(
        "",
        repr=False,
        description="`user:password` of Flower; required to listen on an address that other machines can reach.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Log level.")
    log_format: Literal["text", "json"] = Field("text", description="Plain text, or one JSON object per line.")

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, values: object) -> object:
        """Strip values: a secret from a file ends in a newline, and a pasted value may begin with a space."""
        if not isinstance(values, dict):
            return values
        return {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}

    @field_validator("redis_url")
    @classmethod
    def _validate_redis_url(cls, value: str) -> str:
        address = Address.parse(value)
        if problem := problem_of_options(dict(address.options)):
            raise ValueError(problem)
        return address.url

    @field_validator("redis_ca_file")
    @classmethod
    def _validate_ca_file(cls, value: str) -> str:
        if value and (problem := problem_of_authority(value)):
            raise ValueError(f"{problem}: name the file (PEM) with the CA certificate that signed that of Redis")
        return value

    @property
    def redis(self) -> Address:
        """Address of Redis, with its TLS settings."""
        return Address.parse(self.redis_url).with_tls(self.redis_ca_file, verify=self.redis_tls_verify)

    @field_validator("exchange_ws_url", "exchange_rest_url")
    @classmethod
    def _validate_url(cls, value: str, info: object) -> str:
        schemes = {
            "exchange_ws_url": ("ws", "wss"),
            "exchange_rest_url": ("http", "https"),
        }[info.field_name]  # type: ignore[attr-defined]
        try:
            parts = urlsplit(value)
            scheme, host, _ = parts.scheme, parts.hostname, parts.port
        except ValueError:
            scheme, host = "", None
        if scheme not in schemes or not host:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value.rstrip("/")

    @field_validator("web_host", "flower_address")
    @classmethod
    def _validate_host(cls, value: str, info: ValidationInfo) -> str:
        if not _names_host(value):
            port = {"web_host": "WEB_PORT", "flower_address": "FLOWER_PORT"}[str(info.field_name)]
            raise ValueError(
                f"must be an address or a host name, such as 127.0.0.1, ::1 or localhost; the port belongs in {port}"
            )
        return value

    @field_validator("products")
    @classmethod
    def _validate_products(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one product, or all:USD, or top:25:USD")
        wrong = [v for v in value if not (is_product_id(v) or _is_selection(v))]
        if any("://" in v or "@" in v for v in wrong):
            raise ValueError("a URL is neither a product (BTC-USD) nor a selection (all:USD, top:25:USD)")
        if wrong:
            what = (
                f"{quoted(wrong[0], is_name=True)} is neither a product (BTC-USD) nor a selection (all:USD, top:25:USD)"
            )
            hint = "; separate them by commas" if re.search(r"[;| ]", wrong[0]) else ""
            raise ValueError(what + ("; write it in capitals" if is_product_id(wrong[0].upper()) else hint))
        return tuple(dict.fromkeys(value))

    @field_validator("timeframes")
    @classmethod
    def _validate_timeframes(cls, value: tuple[Timeframe, ...]) -> tuple[Timeframe, ...]:
        if BASE not in value:
            raise ValueError(f"must contain {BASE}: the stream delivers it and the longer ones are built from it")
        return tuple(sorted(set(value), key=lambda t: t.seconds))

    @field_validator("alerts_file")
    @classmethod
    def _validate_alerts_file(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("must be the path of a file, not a URL")
        return value

    @field_validator("ingest_share")
    @classmethod
    def _validate_share(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9]\d{0,2}/[1-9]\d{0,2}", value):
            raise ValueError("must be a share such as 1/3: the first of three")
        part, of = map(int, value.split("/"))
        if part > of:
            raise ValueError(f"{value} is not a share: use 1/{of} to {of}/{of}")
        return value

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings of this process.

        Raises `InvalidInput`, which names each wrong or unknown variable and the correct form.
        """
        environ = _with_platform_names(os.environ if environ is None else environ)
        known = {name.upper(): name for name in cls.model_fields}
        problems = {key: _unknown(key, known) for key in environ if key not in known}
        values = {key: value for key, value in environ.items() if key in known and value != ""}
        problems |= {key: _unreadable(value, is_list=_is_list(cls, known[key])) for key, value in values.items()}
        problems = {key: why for key, why in problems.items() if why}
        try:
            settings = cls(**{known[key]: value for key, value in values.items() if key not in problems})
        except ValidationError as error:
            for one in error.errors():
                problems.setdefault(str(one["loc"][0]).upper(), _reason(one))
        if problems:
            listed = "\n  ".join(f"{readable(key, MAX_NAME)}: {why}" for key, why in problems.items())
            raise InvalidInput(f"settings are wrong:\n  {listed}")
        return settings


def _with_platform_names(environ: Mapping[str, str]) -> Mapping[str, str]:
    """`environ`, with the platform's value of every setting that is not set by its own name."""
    listed = {ours: environ[theirs] for theirs, ours in PLATFORM_NAMES.items() if environ.get(theirs)}
    return {**environ, **{ours: value for ours, value in listed.items() if not environ.get(ours)}}


def _is_list(settings: type[Settings], name: str) -> bool:
    return get_origin(settings.model_fields[name].annotation) is tuple


def _unreadable(value: str, *, is_list: bool) -> str:
    """Why no setting may have `value`: too long, or invisible characters; empty if fine. A list may have line ends."""
    text = value.strip()
    if len(text) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    odd = next((c for c in text if not (c.isprintable() or (is_list and c.isspace()))), None)
    if odd is not None and unicodedata.category(odd) == "Cs":
        return "contains bytes that are not text"
    return "" if odd is None else f"contains an invisible character ({odd!a})"


def _shown(error: ErrorDetails) -> str:
    """The wrong value as an error may show it."""
    if error["loc"][0] == "redis_ca_file":
        return repr(path_shown(str(error["input"])))
    return HIDDEN if error["loc"][0] in SECRETS else quoted(str(error["input"]))


def _reason(error: ErrorDetails) -> str:
    """The problem with a value, and the value unless the problem quotes it already."""
    reason = error["msg"].removeprefix("Value error, ")
    has_input = error["loc"] == ("products",) or error["loc"][0] == "alerts_file"
    return reason if has_input else f"{reason} (it is {_shown(error)})"


def _unknown(key: str, known: Mapping[str, str]) -> str:
    """Why `key` looks like a mistyped setting; empty if it is an unrelated variable."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.88)
    if near:
        return f"no such setting; did you mean {near[0]}?"
    if key.startswith(OWN_PREFIXES):
        return "no such setting; the README lists them all"
    return ""

"""The settings of an installation: one field per setting, with its default, bounds and meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.alerts.settings import AlertSettings
from app.exchange.registry import names
from app.indicators.window import WINDOW
from app.market.timeframes import BASE, Timeframe
from app.settings.checks import SECRET, matching, names_host, split
from app.settings.exchanges import ExchangeSettings, with_defaults
from app.settings.read import Reading, read
from app.storage.address import Address
from app.storage.certificates import problem_of_authority, problem_of_options

MAX_SECONDS = 1e9
"""Longest interval of a periodic task: in effect, never."""

if TYPE_CHECKING:
    Sections = BaseSettings
else:
    Sections = create_model("Sections", __base__=BaseSettings, **dict.fromkeys(names(), (ExchangeSettings, ...)))


class Settings(Sections):
    """One field per setting, and one per exchange that can be followed: its section.

    Made from its arguments alone; `from_environment` reads all sources.
    """

    model_config = SettingsConfigDict(
        env_prefix="CANDLEWICK_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        enable_decoding=False,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
    )
    _reading: Reading | None = PrivateAttr(None)

    exchanges: Annotated[tuple[str, ...], BeforeValidator(split)] = Field(
        names()[:1], description=f"Exchanges to follow, comma separated: {', '.join(names())}."
    )
    redis_url: Annotated[str, SECRET] = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Redis or Valkey, 6.2 or later; also read from `REDIS_URL`.",
    )
    redis_ca_file: str = Field("", description="CA certificates (PEM) for Redis over TLS, if its CA is private.")
    redis_tls_verify: bool = Field(
        True, description="Whether to verify the certificate of Redis over TLS (`yes`, `no`)."
    )
    redis_connections: int = Field(
        4, ge=3, le=100, description="Most connections to Redis that a process keeps for its commands."
    )
    timeframes: Annotated[tuple[Timeframe, ...], BeforeValidator(split)] = Field(
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
    rest_timeout_seconds: float = Field(10.0, ge=0.01, le=120, description="Time-out of one REST request.")
    gap_scan_seconds: float = Field(
        300.0, ge=1, le=MAX_SECONDS, description="Exchange seconds between two scans for gaps."
    )
    reconcile_seconds: float = Field(
        3600.0, ge=1, le=MAX_SECONDS, description="Exchange seconds between two comparisons with REST."
    )
    series_capacity: int = Field(
        1000,
        ge=WINDOW,
        le=100_000,
        description="Candles kept per product and timeframe. After an increase, the missing history is fetched; after "
        "a decrease, stored candles are kept.",
    )
    products_per_connection: int = Field(
        100, ge=1, le=1000, description="Products per WebSocket connection; more products use more connections."
    )
    ingest_share: str = Field("1/1", description="Share of the products that this ingest feeds, split by name.")
    events_kept: int = Field(20_000, ge=100, le=10_000_000, description="Entries kept in the event stream in Redis.")
    indicator_processes: int = Field(
        2, ge=1, le=256, description="Processes of an indicator worker: as many as it has cores."
    )
    backfill_threads: int = Field(4, ge=1, le=64, description="Threads of a backfill worker.")
    alert_threads: int = Field(4, ge=1, le=64, description="Threads of a worker that delivers alerts.")
    web_host: str = Field("127.0.0.1", description="Address that the web server listens on.")
    web_port: int = Field(8000, ge=1, le=65535, description="Port of the web server; also read from `PORT`.")
    web_token: Annotated[
        str,
        matching(r"([!-~]{16,200})?", "must have 16 to 200 characters: visible ASCII without spaces"),
        SECRET,
    ] = Field(
        "",
        repr=False,
        description="Secret that clients of the web server must send (16 to 200 visible characters); required to "
        "listen on an address that other machines can reach.",
    )
    web_hosts: Annotated[tuple[str, ...], BeforeValidator(split)] = Field(
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
        matching(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", "must be a path without a query, such as /candlewick"),
    ] = Field("", description="Path below which a reverse proxy serves the web server, such as `/candlewick`.")
    flower_address: str = Field("127.0.0.1", description="Address that Flower listens on.")
    flower_port: int = Field(5555, ge=1, le=65535, description="Port of Flower.")
    flower_basic_auth: Annotated[
        str,
        matching(
            r"([^:,\s]+:[^:,\s]{8,})?",
            "must be user:password; the password has at least 8 characters, and no space, comma or colon",
        ),
        SECRET,
    ] = Field(
        "",
        repr=False,
        description="`user:password` of Flower; required to listen on an address that other machines can reach.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Log level.")
    log_format: Literal["text", "json"] = Field("text", description="Plain text, or one JSON object per line.")
    secrets_folder: str = Field(
        "", description="Folder with one file per secret, as containers and systemd provide (`/run/secrets`)."
    )
    launch_redis_server: str = Field("", description="Program of the embedded Redis; default: one that is installed.")
    launch_redis_max_memory: str = Field(
        "1gb", pattern=r"^[1-9]\d*(mb|gb)$", description="Memory that the embedded Redis may use."
    )
    launch_exchange_port: int = Field(8900, ge=1, le=65535, description="Port of the demo's local exchange.")
    launch_exchange_speed: float = Field(
        60.0, ge=0.01, le=3600, description="Speed of the demo's market; 1 is real time."
    )
    launch_exchange_seed: int = Field(7, ge=0, description="Seed that determines the demo's market.")
    alerts: AlertSettings = Field(AlertSettings(), description="Alert rules and channels.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only arguments: `from_environment` reads the others, and keeps where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, object]) -> dict[str, object]:
        return with_defaults(values)

    @field_validator("exchanges")
    @classmethod
    def _validate_exchanges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(name not in names() for name in value):
            raise ValueError(f"must name at least one of {', '.join(names())}, and nothing else")
        return tuple(dict.fromkeys(value))

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

    @field_validator("web_host", "flower_address")
    @classmethod
    def _validate_host(cls, value: str, info: ValidationInfo) -> str:
        if not names_host(value):
            port = {"web_host": "CANDLEWICK_WEB_PORT", "flower_address": "CANDLEWICK_FLOWER_PORT"}[str(info.field_name)]
            raise ValueError(
                f"must be an address or a host name, such as 127.0.0.1, ::1 or localhost; the port belongs in {port}"
            )
        return value

    @field_validator("timeframes")
    @classmethod
    def _validate_timeframes(cls, value: tuple[Timeframe, ...]) -> tuple[Timeframe, ...]:
        if BASE not in value:
            raise ValueError(f"must contain {BASE}: the stream delivers it and the longer ones are built from it")
        return tuple(sorted(set(value), key=lambda t: t.seconds))

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
        """The settings of this process: from `environ`, `.env`, the folder of secrets, and candlewick.toml.

        Raises `InvalidInput`, which names each wrong or unknown setting, its place and the correct form.
        """
        settings, reading = read(cls, environ)
        settings._reading = reading
        return settings

    def exchange(self, name: str) -> ExchangeSettings:
        """The settings of one exchange."""
        section: ExchangeSettings = getattr(self, name)
        return section

    def unfollowed(self) -> Iterator[str]:
        """Alert rules about products or timeframes that are not followed."""
        products = [product for name in self.exchanges for product in self.exchange(name).products]
        for why in self.alerts.never(products, self.timeframes):
            yield f"{why}: it will never raise an alert for that"

    @property
    def redis(self) -> Address:
        """Address of Redis, with its TLS settings."""
        return Address.parse(self.redis_url).with_tls(self.redis_ca_file, verify=self.redis_tls_verify)

    @property
    def reading(self) -> Reading:
        """Where the values came from."""
        return self._reading or Reading()

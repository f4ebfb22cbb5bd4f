"""Builds channels from settings. The secrets come from their variables and files, and go nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from app.alerts.settings import (
    AlertSettings,
    AnyChannel,
    DeliverySettings,
    DiscordSettings,
    EmailSettings,
    LogSettings,
    TelegramSettings,
    WebhookSettings,
)
from app.delivery.channels.channel import Channel, ChannelBroken, Message
from app.delivery.channels.discord import DiscordChannel
from app.delivery.channels.email import EmailChannel
from app.delivery.channels.http import Http
from app.delivery.channels.log import LogChannel
from app.delivery.channels.telegram import TelegramChannel
from app.delivery.channels.webhook import WebhookChannel
from app.errors import InvalidInput


class MisconfiguredChannel(Channel):
    """Replaces a channel that cannot be built, so that the others work and its messages wait."""

    target = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def send(self, message: Message) -> float:
        del message
        raise ChannelBroken(self.reason)


Secret: TypeAlias = Callable[[str], str | None]
"""The secret in a variable; None if it is not set. `InvalidInput` if it cannot be read."""


def build_channels(settings: AlertSettings, secret: Secret) -> dict[str, Channel]:
    """Every channel of `settings`, by name; a `MisconfiguredChannel` if one cannot be built."""
    return {name: _build(name, s, secret, settings.delivery) for name, s in settings.channels.items()}


def _build(name: str, settings: AnyChannel, secret: Secret, delivery: DeliverySettings) -> Channel:
    proxy = delivery.proxy_env if not isinstance(settings, EmailSettings | LogSettings) else None
    variables = (*settings.secrets, proxy) if proxy else settings.secrets
    try:
        environ = {variable: (secret(variable) or "").strip() for variable in variables}
    except InvalidInput as error:
        return MisconfiguredChannel(f"channel {name}: {', '.join(variables)}: {error}")
    if missing := [variable for variable in variables if not environ[variable]]:
        return MisconfiguredChannel(f"channel {name}: the environment variable {missing[0]} is not set")
    if odd := [variable for variable in variables if not environ[variable].isprintable()]:
        return MisconfiguredChannel(
            f"channel {name}: {odd[0]} contains invisible characters, or bytes that are not text"
        )
    try:
        return _made(settings, environ, delivery)
    except InvalidInput as error:
        return MisconfiguredChannel(f"channel {name}: {', '.join(variables)}: {error}")


def _made(settings: AnyChannel, environ: Mapping[str, str], delivery: DeliverySettings) -> Channel:
    timeout_s, proxy = delivery.timeout_seconds, environ.get(delivery.proxy_env or "")

    def http(url: str, s: DiscordSettings | WebhookSettings | TelegramSettings) -> Http:
        return Http(url, timeout_s=timeout_s, allow_private=s.allow_private, at_once=s.at_once, proxy=proxy)

    match settings:
        case DiscordSettings():
            return DiscordChannel(http(environ[settings.url_env], settings), chart=settings.chart)
        case WebhookSettings():
            secret = environ[settings.secret_env] if settings.secret_env else None
            return WebhookChannel(http(environ[settings.url_env], settings), secret, settings.at_once)
        case TelegramSettings():
            url = f"{settings.api_url}/bot{environ[settings.token_env]}"
            return TelegramChannel(http(url, settings), settings.chat, chart=settings.chart)
        case EmailSettings():
            user, password = settings.user_env, settings.password_env
            return EmailChannel(settings, (environ[user], environ[password]) if user and password else None, timeout_s)
        case _:
            return LogChannel()

"""The messages of WebSocket clients: subscribe and unsubscribe."""

from __future__ import annotations

import base64
import binascii
import json
import time
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from simulator import frames
from simulator.clock import ExchangeClock
from simulator.connection import Connection
from simulator.feed import Feed
from simulator.trade_log import TradeLog

CHANNELS = ("candles", "heartbeats", "market_trades", "ticker", "ticker_batch", "status", "level2")
MAX_LEVEL2 = 30
_ALIASES = {"l2_data": "level2"}


class ClientMessage(BaseModel):
    """A subscribe or unsubscribe message; unknown members are ignored, as on the real exchange."""

    type: Literal["subscribe", "unsubscribe"]
    channel: str = Field(max_length=100)
    product_ids: list[str] = Field(default_factory=list, max_length=10_000)
    jwt: str = ""


class Subscriber:
    """Handles the messages of clients."""

    def __init__(self, feed: Feed, trade_log: TradeLog, clock: ExchangeClock) -> None:
        self._feed = feed
        self._trade_log = trade_log
        self._clock = clock

    async def take(self, connection: Connection, data: str | bytes) -> None:
        """Handle one message. An invalid one is answered with an error frame; the socket stays open."""
        try:
            message = ClientMessage.model_validate_json(data)
        except ValidationError:
            connection.send_raw(frames.error("failure to subscribe").encode())
            return
        channel = _ALIASES.get(message.channel, message.channel)
        if channel not in CHANNELS or (message.jwt and not is_plausible_jwt(message.jwt, time.time())):
            connection.send_raw(frames.error("authentication failure").encode())
            return
        connection.subscribed = True
        if message.type == "subscribe":
            await self._subscribe(connection, channel, message.product_ids)
        else:
            products = self._known(channel, message.product_ids) if message.product_ids else None
            self._feed.unsubscribe(connection, channel, products)
        self._feed.acknowledge(connection)

    async def _subscribe(self, connection: Connection, channel: str, names: list[str]) -> None:
        products = self._known(channel, names)
        if channel == "level2":
            present = connection.subscriptions.get("level2", {})
            room = MAX_LEVEL2 - len(present)
            new = [product for product in products if product not in present]
            if len(new) > room:
                connection.send_raw(frames.error("too many L2 streams requested in a single session").encode())
                products = new[:room]
        await self._feed.subscribe(connection, channel, products)

    def _known(self, channel: str, names: list[str]) -> list[str]:
        """The canonical names of the trading products among `names`, each once; others are silently left out."""
        if channel == "heartbeats":
            return ["heartbeats"]
        now_ms = self._clock.now_ms()
        if channel == "status" and not names:
            names = list(self._trade_log.products)
        found = dict.fromkeys(filter(None, map(self._trade_log.canonical, names)))
        return [name for name in found if self._trade_log.is_online(name, now_ms)]


def is_plausible_jwt(token: str, now_s: float) -> bool:
    """Whether `token` has the form of a JWT that is valid at wall-clock time `now_s`. Its signature is not checked."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
        return header["alg"] in ("ES256", "EdDSA") and claims["nbf"] <= now_s + 60 and now_s < claims["exp"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return False

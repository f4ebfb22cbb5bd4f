"""`candlewick alerts`: list alerts, test a channel, enable a disabled one."""

from __future__ import annotations

import math
import time
from argparse import Namespace

import numpy as np

from app.context import Context
from app.delivery.channels.build import MisconfiguredChannel, build_channels
from app.delivery.channels.channel import Channel, Message
from app.delivery.listing import channel_rows, page_of_alerts
from app.delivery.texts import lines_of
from app.errors import InvalidInput
from app.market.records import RECORD, Records
from app.wire.alerts import AlertFact, AlertsAndChannels

EXAMPLE_S = 1_735_689_600


def listed(context: Context, arguments: Namespace) -> AlertsAndChannels:
    page = page_of_alerts(
        context.alerts,
        product=arguments.product,
        timeframe=arguments.timeframe,
        rule=arguments.rule,
        since_s=arguments.since,
        limit=arguments.limit,
        cursor=arguments.cursor,
    )
    return {**page, "channels": channel_rows(context.deliveries, context.rules.read().settings)}


def test(context: Context, name: str) -> str:
    """Send an example over the channel `name`, bypassing its queue; returns the text to print.

    A disabled channel that works again is enabled. Raises `InvalidInput`, or `DeliveryError` if it fails.
    """
    channel = _channel(context, name)
    if isinstance(channel, MisconfiguredChannel):
        raise InvalidInput(channel.reason)
    channel.send(example())
    context.deliveries.enable(name)
    return f"sent: channel {name} accepted an example"


def enable(context: Context, name: str) -> str:
    """Let a disabled or paused channel retry."""
    _channel(context, name)
    was_stopped = context.deliveries.enable(name)
    return f"channel {name} is enabled" if was_stopped else f"channel {name} was not disabled: nothing to do"


def _channel(context: Context, name: str) -> Channel:
    channels = build_channels(context.rules.read().settings, context.settings.reading.secrets.get)
    if name not in channels:
        raise InvalidInput(f"no channel is called {name[:40]!r}; there are: {', '.join(channels)}")
    return channels[name]


def example() -> Message:
    """An alert that cannot be mistaken for a real one, with a chart."""
    fact: AlertFact = {
        "id": "test",
        "rule": "test",
        "kind": "level",
        "exchange": "example",
        "product": "TEST-USD",
        "timeframe": "5m",
        "start": EXAMPLE_S,
        "end": EXAMPLE_S + 300,
        "event": {"level": -150.0, "direction": "down"},
        "price": float(_candles()["close"][-1]),
        "macdv": -163.3,
        "signal": -121.0,
        "histogram": -42.3,
        "stage": "oversold",
        "timeframes": {"5m": {"macdv": -163.3, "stage": "oversold"}, "1h": {"macdv": 102.0, "stage": "rallying"}},
        "bias": "Bullish",
        "confirmed": True,
        "candles": 500,
        "definition": "test",
    }
    title = "This is only a test: TEST-USD: MACD-V crossed below -150 (5m)"
    return Message("test|raised", "raised", fact, title, lines_of(fact), lambda: _chart(fact), int(time.time()))


def _chart(fact: AlertFact) -> bytes:
    from app.delivery.chart import draw
    from app.indicators.macdv import macdv_of

    return draw(_candles(), macdv_of(_candles()), fact)


def _candles() -> Records:
    """An invented market that falls at its end."""
    records = np.zeros(200, RECORD)
    close = [100 + 4 * math.sin(i / 9) + math.sin(i / 2.3) - max(0, i - 185) * 0.9 for i in range(201)]
    records["start_s"] = EXAMPLE_S - 300 * np.arange(199, -1, -1)
    records["open"], records["close"] = close[:-1], close[1:]
    records["high"] = np.maximum(records["open"], records["close"]) + 0.4
    records["low"] = np.minimum(records["open"], records["close"]) - 0.4
    records["volume"] = 1
    return records

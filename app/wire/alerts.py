"""Alerts and their delivery: stored, published, sent, and answered."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from app.wire.fields import SeriesFields, StageName

Direction: TypeAlias = Literal["up", "down"]
Zone: TypeAlias = Literal["oversold", "overbought"]
Bias: TypeAlias = Literal["Bullish", "Bearish", "Neutral"]

AlertEvent = TypedDict(
    "AlertEvent",
    {
        "level": Annotated[float, Field(description="Of a level: the one that MACD-V crossed.")],
        "price": Annotated[float, Field(description="Of a price: the one that the close crossed.")],
        "direction": Annotated[Direction, Field(description="Of a level or a price: the direction of the crossing.")],
        "zone": Annotated[Zone, Field(description="Of a reversal: the zone in which MACD-V turns.")],
        "buffer": Annotated[float, Field(description="Of a reversal: what the histogram has passed, in points.")],
        "from": Annotated[StageName, Field(description="Of a stage: the one before.")],
        "to": Annotated[StageName, Field(description="Of a stage: the new one.")],
    },
    total=False,
)


class AlertPoint(TypedDict):
    macdv: float
    stage: StageName | None


class AlertFact(SeriesFields):
    """An alert: stored, sent to webhooks, and the data of the event `alert`."""

    id: Annotated[str, Field(description="Permanent: rule, product, timeframe, start.")]
    rule: str
    kind: Literal["level", "reversal", "stage", "price"]
    start: Annotated[int, Field(description="Start of the bar, UNIX seconds.")]
    end: Annotated[int, Field(description="End of the bar, UNIX seconds.")]
    event: Annotated[AlertEvent, Field(description="The event: level, zone, stages or price, and the direction.")]
    price: Annotated[float, Field(description="Close of the bar, in quote currency.")]
    macdv: float | None
    signal: float | None
    histogram: float | None
    stage: StageName | None
    timeframes: Annotated[
        dict[str, AlertPoint | None], Field(description="MACD-V and stage of each, at the bar's end.")
    ]
    bias: Annotated[Bias, Field(description="The direction of all timeframes together.")]
    confirmed: Annotated[bool, Field(description="Whether REST had confirmed the bar when the alert was raised.")]
    candles: Annotated[int, Field(description="Candles behind the values.")]
    definition: Annotated[str, Field(description="Changes with the settings of the rule.")]


class AlertState(TypedDict):
    """Data of the event `alert_state`: a correction has made an alert wrong, or right again."""

    id: str
    state: Literal["withdrawn", "restored"]


class DeliveryOutcome(TypedDict):
    """What became of one message."""

    state: Annotated[str, Field(description="`sent`, or why it was not.")]
    tries: int
    at_ms: Annotated[int, Field(description="On the clock of Redis, UNIX milliseconds.")]


class AlertRow(AlertFact):
    """An alert as it is now."""

    title: str
    state: Annotated[
        Literal["stands", "withdrawn"], Field(description="Withdrawn: a corrected candle has made it wrong.")
    ]
    withdrawn_at: Annotated[int | None, Field(description="Exchange time, UNIX seconds.")]
    deliveries: Annotated[
        dict[str, dict[str, DeliveryOutcome]], Field(description="By channel and kind of message: its delivery.")
    ]


class AlertsAnswer(TypedDict):
    alerts: Annotated[list[AlertRow], Field(description="Newest first.")]
    next: Annotated[str | None, Field(description="`cursor` of the next page; null on the last.")]


class ChannelRow(TypedDict):
    channel: str
    kind: str
    state: Literal["working", "paused", "disabled"]
    reason: Annotated[str | None, Field(description="The last error.")]
    waiting: Annotated[int, Field(description="Messages that have not been sent yet.")]
    done: int
    dropped: Annotated[int, Field(description="Messages that were not sent, such as withdrawn alerts.")]
    paused_real_seconds: float


class AlertsAndChannels(AlertsAnswer):
    """The answer of the command line."""

    channels: list[ChannelRow]

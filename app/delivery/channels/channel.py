"""Channels, their messages, and the errors of sending."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from app.errors import CandlewickError
from app.wire.alerts import AlertFact


class DeliveryError(CandlewickError):
    """The message was not accepted this time: retry with back-off. Texts never contain a secret."""


class TooMany(DeliveryError):
    """Rate limited by the service: the message and the channel are fine."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MessageRefused(DeliveryError):
    """The service never accepts this message, but may accept others."""


class ChannelBroken(DeliveryError):
    """The service accepts no message until the channel's settings change."""


class Message(NamedTuple):
    """One message about one alert.

    `id`: the same at each try, so that a receiver can drop a second copy. `kind`: raised,
    withdrawn or restored. `chart_of`: makes the chart (PNG), or returns None if the candles are no longer kept.
    `now_s`: the time of this try (UNIX seconds) on a clock that all hosts share.
    """

    id: str
    kind: str
    fact: AlertFact
    title: str
    lines: list[str]
    chart_of: Callable[[], bytes | None]
    now_s: int


class Digest(NamedTuple):
    """Many old alerts in one message. `id`: the same for the same alerts."""

    id: str
    title: str
    lines: list[str]
    now_s: int

    @property
    def text(self) -> str:
        return "\n".join([self.title, "", *self.lines])


class Channel(ABC):
    """Safe to call from any number of threads. A call ends within about its time-out."""

    at_once = 1
    """Messages that may be in transit at the same time."""

    digests = False
    """Whether people read it: then old alerts are sent as one message, not hundreds."""

    target: str
    """A fingerprint of the destination: it changes with the settings, and reveals nothing else."""

    @abstractmethod
    def send(self, message: Message) -> float:
        """Deliver `message`; returns the pause in seconds before the next message, usually 0.

        Raises one of the errors above.
        """

    def send_digest(self, digest: Digest) -> float:
        """As `send`, for channels with `digests`."""
        raise NotImplementedError

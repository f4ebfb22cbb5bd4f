"""What a channel is, and what can become of a message that it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from app.errors import CandlewickError


class DeliveryError(CandlewickError):
    """The message was not taken this time: try again, with back-off. Texts never hold a secret."""


class TooMany(DeliveryError):
    """The service asks to wait: nothing is wrong with the message or the channel."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MessageRefused(DeliveryError):
    """The service will never take this message; others it may."""


class ChannelBroken(DeliveryError):
    """The service will take no message from here until somebody changes the channel's settings."""


class Message(NamedTuple):
    """One message about one alert.

    `id`: the same each time that this message is sent, so that a receiver can drop a second copy. `kind`: raised,
    withdrawn or restored. `chart_of`: makes the chart (PNG), or returns None if the candles are no longer there.
    `now_s`: the time of this try (UNIX seconds) on a clock that all hosts share.
    """

    id: str
    kind: str
    fact: dict[str, Any]
    title: str
    lines: list[str]
    chart_of: Callable[[], bytes | None]
    now_s: int


class Digest(NamedTuple):
    """Many alerts that are old by now, in one message. `id`: the same for the same alerts."""

    id: str
    title: str
    lines: list[str]
    now_s: int

    @property
    def text(self) -> str:
        return "\n".join([self.title, "", *self.lines])


class Channel(ABC):
    """Safe to call from any number of threads. A call ends by itself within about its time-out."""

    at_once = 1
    """Messages that may be under way at the same time."""

    digests = False
    """Whether people read it, who want one message of what is old by now, and not hundreds."""

    @property
    @abstractmethod
    def target(self) -> str:
        """A fingerprint of where it sends to: another one after the settings have changed. Says nothing else."""

    @abstractmethod
    def send(self, message: Message) -> float:
        """Have `message` delivered; returns for how many seconds the service wants no further one, as a rule 0.

        Raises one of the errors above.
        """

    def send_digest(self, digest: Digest) -> float:
        """As `send`, for channels with `digests`."""
        raise NotImplementedError

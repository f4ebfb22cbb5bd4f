"""The form of an assumption. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from app.doctor.coinbase.evidence import Frame, Response
from app.doctor.finding import Finding, Verdict
from app.exchange.adapter import FeedEvent


class Assumption(ABC):
    """Something that the software rests on. Fed with everything that comes; `finding` concludes at any time."""

    name: ClassVar[str]
    """Short and stable, in kebab-case."""
    used_for: ClassVar[str]
    """What the software does with it, in one sentence."""

    def frame(self, frame: Frame) -> None:  # noqa: B027
        """A message of the stream came."""

    def event(self, event: FeedEvent) -> None:  # noqa: B027
        """The adapter concluded something from the stream."""

    def response(self, response: Response) -> None:  # noqa: B027
        """REST responded."""

    @abstractmethod
    def conclusion(self) -> tuple[str, Verdict]:
        """What was seen, with numbers, and the verdict."""

    def finding(self) -> Finding:
        return Finding(self.name, self.used_for, *self.conclusion())

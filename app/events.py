"""Events: what was new, in the order in which it became so, and where a reader of them stands. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from app.errors import InvalidInput

KEPT_KINDS = ("close", "correction", "indicator", "alert", "alert_state")
"""Kinds of events that are kept for a while, so that a reader who was away can go on."""

FORMING = "forming"
"""The newest state of a bucket that is still open: told to who listens, not kept."""

KINDS = (*KEPT_KINDS, FORMING)


class EventId(NamedTuple):
    """When an event was written (UNIX milliseconds of the Redis server), and its number in that millisecond."""

    ms: int
    number: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The id that `text` spells; `InvalidInput` where it is none."""
        ms, _, number = text.partition("-")
        if not all(part.isascii() and part.isdigit() and len(part) <= 15 for part in (ms, number)):
            raise InvalidInput(f"{text[:40]!r} is no event id: they are written like 1738324800000-0")
        return cls(int(ms), int(number))


BEFORE_ALL = EventId(0, 0)
"""Stands before every event."""


class Event(NamedTuple):
    """`data` is JSON: a candle, an indicator value or an alert, with its exchange, product and timeframe."""

    id: EventId
    kind: str
    product: str
    timeframe: str
    data: bytes

    @classmethod
    def from_entry(cls, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Self | None:
        """The event that an entry of the stream holds; None where it is not one of ours."""
        names = fields.get(b"series", b"").decode(errors="replace").split(":")
        if len(names) != 3 or b"kind" not in fields or b"data" not in fields:
            return None
        kind = fields[b"kind"].decode(errors="replace")
        return cls(EventId.parse(entry_id.decode()), kind, names[1], names[2], fields[b"data"])


class EventPage(NamedTuple):
    """Events after a point, oldest first.

    `position`: where to go on. `lost`: events between that point and the first of these are no longer kept, or the
    point is unknown here; `oldest` is the first event that is kept (None: there is none).
    """

    events: list[Event]
    position: EventId
    lost: bool
    oldest: EventId | None


def is_lost(after: EventId, oldest: EventId | None, newest: EventId, *, trimmed: bool) -> bool:
    """Whether events after `after` may be gone. In doubt (at the very edge) they are."""
    if oldest is None or after > newest:
        return after != newest
    return after < oldest and (trimmed or after != BEFORE_ALL)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a reader wants; an empty set stands for all."""

    kinds: frozenset[str] = frozenset(KEPT_KINDS)
    products: frozenset[str] = frozenset()
    timeframes: frozenset[str] = frozenset()

    def takes(self, event: Event) -> bool:
        return (
            event.kind in self.kinds
            and (not self.products or event.product in self.products)
            and (not self.timeframes or event.timeframe in self.timeframes)
        )

    def of(self, events: Iterable[Event]) -> list[Event]:
        return [e for e in events if self.takes(e)]

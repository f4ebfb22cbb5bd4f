"""Events of the stream, their ids, and filters for readers. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from app.errors import InvalidInput
from app.wire.alerts import AlertFact, AlertState
from app.wire.candles import ClosedCandle, FormingCandle
from app.wire.indicators import Indicator

FORMING = "forming"
"""The newest state of an open bucket: published to connected readers, not kept."""

PAYLOADS = {
    "close": ClosedCandle,
    "correction": ClosedCandle,
    "indicator": Indicator,
    "alert": AlertFact,
    "alert_state": AlertState,
    FORMING: FormingCandle,
}
"""The type of the data of each kind of event."""

KEPT_KINDS = tuple(kind for kind in PAYLOADS if kind != FORMING)
"""Kinds of events that are kept for a while, so that a reader can resume after a break."""


class EventId(NamedTuple):
    """Time of writing (UNIX milliseconds of the Redis server), and the event's number in that millisecond."""

    ms: int
    number: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `text`; `InvalidInput` if it is not an event id."""
        ms, _, number = text.partition("-")
        if not all(part.isascii() and part.isdigit() and len(part) <= 15 for part in (ms, number)):
            raise InvalidInput(f"invalid event id {text[:40]!r}: expected a form like 1738324800000-0")
        return cls(int(ms), int(number))


BEFORE_ALL = EventId(0, 0)
"""Sorts before every event."""


class Event(NamedTuple):
    """One event. `data` is the JSON of one of `PAYLOADS`."""

    id: EventId
    kind: str
    product: str
    timeframe: str
    data: bytes

    @classmethod
    def from_entry(cls, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Self | None:
        """The event in a stream entry; None if the entry is not a valid event."""
        names = fields.get(b"series", b"").decode(errors="replace").split(":")
        if len(names) != 3 or b"kind" not in fields or b"data" not in fields:
            return None
        kind = fields[b"kind"].decode(errors="replace")
        return cls(EventId.parse(entry_id.decode()), kind, names[1], names[2], fields[b"data"])


class EventPage(NamedTuple):
    """Events after a point, oldest first.

    `position`: where to continue. `lost`: events between that point and the first of these are no longer kept, or the
    point is unknown. `oldest`: the first event that is kept, None if there is none.
    """

    events: list[Event]
    position: EventId
    lost: bool
    oldest: EventId | None


def is_lost(after: EventId, oldest: EventId | None, newest: EventId, *, trimmed: bool) -> bool:
    """Whether events after `after` may be lost. True if uncertain (at the very edge)."""
    if oldest is None or after > newest:
        return after != newest
    return after < oldest and (trimmed or after != BEFORE_ALL)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filter of events; an empty set matches all."""

    kinds: frozenset[str] = frozenset(KEPT_KINDS)
    products: frozenset[str] = frozenset()
    timeframes: frozenset[str] = frozenset()

    def takes(self, event: Event) -> bool:
        return (
            event.kind in self.kinds
            and (not self.products or event.product in self.products)
            and (not self.timeframes or event.timeframe in self.timeframes)
        )

    def select(self, events: Iterable[Event]) -> list[Event]:
        return [e for e in events if self.takes(e)]

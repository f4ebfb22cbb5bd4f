"""Read the event stream in Redis."""

from __future__ import annotations

from redis import Redis

from app.events import Event, EventId, EventPage, is_lost
from app.storage import keys
from app.storage.scripts import script

PAGE = 500
"""Events per read."""


class EventStream:
    """Read-only: the scripts that write the data also append its events."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._read = script(client, "read_events")

    def read(self, after: EventId | None, count: int = PAGE) -> EventPage:
        """The first `count` events after `after`. If None: no events, only the current end of the stream."""
        answer = self._read(keys=[keys.EVENTS], args=[str(after or ""), count])
        first, newest, trimmed = _id(answer[0]), EventId.parse(answer[1].decode()), answer[2] == b"1"
        entries = [(EventId.parse(raw.decode()), raw, flat) for raw, flat in answer[3]]
        events = [Event.from_entry(raw, dict(zip(flat[::2], flat[1::2], strict=True))) for _, raw, flat in entries]
        lost = after is not None and is_lost(after, first, newest, trimmed=trimmed)
        return EventPage([e for e in events if e], entries[-1][0] if entries else newest, lost, first)

    def wait(self, after: EventId, timeout_s: float) -> bool:
        """Wait for an event after `after`. False if none came within `timeout_s` (real time)."""
        return bool(self._client.xread({keys.EVENTS: str(after)}, count=1, block=int(timeout_s * 1000)))


def _id(raw: bytes) -> EventId | None:
    return EventId.parse(raw.decode()) if raw else None

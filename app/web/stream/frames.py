"""Encodes events as server-sent events: blocks of lines with an empty line after each. Pure."""

from __future__ import annotations

import orjson

from app.events import BEFORE_ALL, Event, EventId, EventPage

RETRY_MS = 1000
"""How long a browser waits before it connects again."""


def event_frame(event: Event) -> bytes:
    """`event`, with its id if a client can resume from it."""
    head = b"" if event.id == BEFORE_ALL else b"id: %d-%d\n" % event.id
    return b"%bevent: %b\ndata: %b\n\n" % (head, event.kind.encode(), event.data.translate(None, b"\r\n"))


def opening_frame(position: EventId) -> bytes:
    """The first frame: the id after which a client gets everything, even if it has to reconnect."""
    return b"retry: %d\nid: %d-%d\n\n" % (RETRY_MS, *position)


def heartbeat_frame(position: EventId) -> bytes:
    """Keeps the connection open, and moves the client's id past events that it did not request.

    A block without data is not an event, but its id counts.
    """
    return b": heartbeat\nid: %d-%d\n\n" % position


def gap_frame(after: EventId, page: EventPage) -> bytes:
    """Reports to a client that events it missed are no longer kept."""
    told = {
        "after": str(after),
        "oldest": str(page.oldest) if page.oldest else None,
        "message": "events after this id are no longer kept: read the candles and indicators again",
    }
    return b"id: %d-%d\nevent: gap\ndata: %b\n\n" % (*min(after, page.position), orjson.dumps(told))

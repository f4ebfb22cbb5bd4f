"""The next events of a client, and when it has lost some."""

from __future__ import annotations

import pytest

from app.errors import InvalidInput
from app.events import BEFORE_ALL, Event, EventId, Wanted, is_lost
from app.web.stream.frames import event_frame
from app.web.stream.tail import CHUNK_BYTES, CHUNKS, Tail

ALL = Wanted()


def event(ms: int, product: str = "BTC-USD", kind: str = "close", size: int = 10) -> Event:
    return Event(EventId(ms, 0), kind, product, "5m", b'"%s"' % (b"x" * size))


def tail_of(*events: Event, start: int = 0, kept: int = 100) -> Tail:
    tail = Tail(EventId(start, 0), kept)
    for e in events:
        tail.add([e], e.id)
    return tail


def test_a_client_gets_what_comes_after_it_in_order() -> None:
    events = [event(n) for n in range(1, 6)]
    chunk = tail_of(*events).after(EventId(2, 0), ALL)
    assert chunk
    assert chunk.body == b"".join(map(event_frame, events[2:]))
    assert chunk.position == EventId(5, 0)


def test_unwanted_events_still_move_a_client() -> None:
    chunk = tail_of(event(1), event(2)).after(BEFORE_ALL, Wanted(products=frozenset({"SOL-USD"})))
    assert chunk
    assert (chunk.body, chunk.position) == (b"", EventId(2, 0))


def test_chunks_are_bounded_and_together_they_are_everything() -> None:
    events = [event(n, size=9_000) for n in range(1, 40)]
    tail, position, bodies = tail_of(*events), BEFORE_ALL, []
    while (chunk := tail.after(position, ALL)) and chunk.position != position:
        assert len(chunk.body) < CHUNK_BYTES + 10_000
        bodies.append(chunk.body)
        position = chunk.position
    assert len(bodies) > 4
    assert b"".join(bodies) == b"".join(map(event_frame, events))


def test_a_tail_drops_the_oldest_and_reports_it() -> None:
    tail = tail_of(*(event(n) for n in range(1, 26)), kept=10)
    assert tail.after(BEFORE_ALL, ALL) is None
    assert tail.start >= EventId(5, 0)
    chunk = tail.after(tail.start, ALL)
    assert chunk
    assert chunk.body.count(b"event: close") == 25 - tail.start.ms


def test_the_number_of_chunks_is_bounded() -> None:
    tail = tail_of(event(1), event(2))
    for number in range(3 * CHUNKS):
        assert tail.after(BEFORE_ALL, Wanted(products=frozenset({f"P{number}-USD"})))
    assert len(tail._chunks) <= CHUNKS


def test_a_client_ahead_of_the_tail_gets_nothing_twice() -> None:
    tail = tail_of(event(1), event(2))
    ahead = tail.after(EventId(3, 0), ALL)
    assert ahead
    assert (ahead.body, ahead.position) == (b"", EventId(3, 0))
    tail.add([event(3), event(4)], EventId(4, 0))
    chunk = tail.after(EventId(3, 0), ALL)
    assert chunk
    assert chunk.body == event_frame(event(4))


@pytest.mark.parametrize(
    ("after", "oldest", "newest", "trimmed", "lost"),
    [
        (5, 1, 9, True, False),
        (1, 1, 9, True, False),
        (9, 1, 9, True, False),
        (10, 1, 9, False, True),
        (3, 4, 9, True, True),
        (3, 4, 9, False, True),
        (0, 4, 9, False, False),
        (0, 4, 9, True, True),
        (0, None, 0, False, False),
        (5, None, 9, True, True),
        (9, None, 9, True, False),
    ],
)
def test_when_events_are_lost(after: int, oldest: int | None, newest: int, trimmed: bool, lost: bool) -> None:
    first = None if oldest is None else EventId(oldest, 0)
    assert is_lost(EventId(after, 0), first, EventId(newest, 0), trimmed=trimmed) is lost


def test_a_frame_has_one_line_of_data_for_any_content() -> None:
    frame = event_frame(Event(EventId(1, 2), "close", "BTC-USD", "5m", b'{"a":\r\n1}'))
    assert frame == b'id: 1-2\nevent: close\ndata: {"a":1}\n\n'


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-2-3", "a-1", "٣-1", "1" * 16 + "-0", "1-0\n"])
def test_an_invalid_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid event id"):
        EventId.parse(text)

"""Which connection is closed when too many wait for a request."""

from __future__ import annotations

from app.web.waiting import Waiting


def test_beyond_the_bound_the_longest_waiting_is_closed() -> None:
    waiting: Waiting[int] = Waiting(most=3, most_of_one=9)
    assert [waiting.add(n, None) for n in (1, 2, 3)] == [None] * 3
    waiting.remove(1)
    assert waiting.add(4, None) is None
    assert waiting.add(5, "far") == 2
    waiting.remove(2)
    assert waiting.add(3, None) is None, "it waits anew"
    assert waiting.add(6, None) == 4
    assert len(waiting) == 4, "until it is removed"


def test_a_client_beyond_its_bound_loses_its_own() -> None:
    waiting: Waiting[int] = Waiting(most=9, most_of_one=2)
    waiting.add(0, "other")
    assert [waiting.add(n, "far") for n in (1, 2, 3)] == [None, None, 1]
    waiting.remove(1)
    assert [waiting.add(n, None) for n in (10, 11, 12)] == [None] * 3, "this machine's have no bound of their own"
    for n in (0, 2, 3, 10, 11, 12, 99):
        waiting.remove(n)
    assert len(waiting) == 0
    assert not waiting._by_client

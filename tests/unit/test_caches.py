"""Values that are kept for a while, and maps that keep the results of their last call."""

from __future__ import annotations

import pytest

from app.util.caches import IncrementalMap, kept_for


def test_a_fresh_value_is_not_read_again() -> None:
    numbers = iter(range(9))
    value = kept_for(60, lambda: next(numbers))
    assert [value(), value()] == [0, 0]


def test_an_old_value_is_read_again() -> None:
    numbers = iter(range(9))
    value = kept_for(-1, lambda: next(numbers))
    assert [value(), value()] == [0, 1]


def test_an_error_is_raised_each_time_and_forgotten() -> None:
    words = iter([ValueError("away"), "back"])

    def read() -> str:
        if isinstance(word := next(words), Exception):
            raise word
        return str(word)

    value = kept_for(60, read)
    with pytest.raises(ValueError, match="away"):
        value()
    assert value() == "back"


def test_what_is_the_same_as_at_the_last_look_is_not_made_again_and_all_else_is_forgotten() -> None:
    made: list[bytes] = []

    def make(data: bytes) -> str:
        made.append(data)
        return data.decode()

    look = IncrementalMap(make)
    assert look([b"a", b"b", b"b"]) == ["a", "b", "b"]
    assert look([b"b", b"c"]) == ["b", "c"]
    assert look([b"a", b"c"]) == ["a", "c"]
    assert made == [b"a", b"b", b"b", b"c", b"a"]
    for number in range(1_000):
        look([b"%d" % number])
    assert len(look._kept) == 1

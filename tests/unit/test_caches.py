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


def test_an_error_is_raised_and_not_cached() -> None:
    results = iter([ValueError("away"), "back"])

    def read() -> str:
        if isinstance(result := next(results), Exception):
            raise result
        return str(result)

    value = kept_for(60, read)
    with pytest.raises(ValueError, match="away"):
        value()
    assert value() == "back"


def test_only_entries_of_the_last_call_are_reused() -> None:
    made: list[bytes] = []

    def make(data: bytes) -> str:
        made.append(data)
        return data.decode()

    convert = IncrementalMap(make)
    assert convert([b"a", b"b", b"b"]) == ["a", "b", "b"]
    assert convert([b"b", b"c"]) == ["b", "c"]
    assert convert([b"a", b"c"]) == ["a", "c"]
    assert made == [b"a", b"b", b"b", b"c", b"a"]
    for number in range(1_000):
        convert([b"%d" % number])
    assert len(convert._kept) == 1

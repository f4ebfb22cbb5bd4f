"""What is remembered: a value until it has grown old, what was made until there is too much of it; never an error."""

from __future__ import annotations

import pytest

from app.util.caches import IncrementalMap, SizedLru, TtlValue


def test_a_fresh_value_is_not_read_again() -> None:
    numbers = iter(range(9))
    memo = TtlValue(lambda: next(numbers), for_s=60)
    assert [memo.get(), memo.get()] == [0, 0]


def test_an_old_value_is_read_again() -> None:
    numbers = iter(range(9))
    memo = TtlValue(lambda: next(numbers), for_s=-1)
    assert [memo.get(), memo.get()] == [0, 1]


def test_an_error_is_raised_each_time_and_forgotten() -> None:
    words = iter([ValueError("away"), "back"])

    def read() -> str:
        if isinstance(word := next(words), Exception):
            raise word
        return str(word)

    memo = TtlValue(read, for_s=60)
    with pytest.raises(ValueError, match="away"):
        memo.get()
    assert memo.get() == "back"


def test_what_was_made_is_made_once_until_too_much_else_was_asked_for() -> None:
    made: list[bytes] = []

    def make(source: bytes) -> bytes:
        made.append(source)
        return source * 10

    memo = SizedLru(make, most_bytes=25)
    assert [memo.get(b"a"), memo.get(b"b"), memo.get(b"a")] == [b"a" * 10, b"b" * 10, b"a" * 10]
    assert made == [b"a", b"b"]
    memo.get(b"c")
    memo.get(b"a")  # asked for after b, so b was forgotten
    assert made == [b"a", b"b", b"c"]
    memo.get(b"b")
    assert made == [b"a", b"b", b"c", b"b"]


def test_what_is_larger_than_the_bound_is_given_and_not_kept() -> None:
    memo = SizedLru(lambda source: source * 10, most_bytes=25)
    assert memo.get(b"long") == b"long" * 10
    assert memo.get(b"a") == b"a" * 10


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

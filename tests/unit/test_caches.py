"""Caches: values by age, results by size; errors are never cached."""

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


def test_an_error_is_raised_and_not_cached() -> None:
    results = iter([ValueError("away"), "back"])

    def read() -> str:
        if isinstance(result := next(results), Exception):
            raise result
        return str(result)

    memo = TtlValue(read, for_s=60)
    with pytest.raises(ValueError, match="away"):
        memo.get()
    assert memo.get() == "back"


def test_a_result_is_made_once_until_it_is_evicted() -> None:
    made: list[bytes] = []

    def make(source: bytes) -> bytes:
        made.append(source)
        return source * 10

    memo = SizedLru(make, most_bytes=25)
    assert [memo.get(b"a"), memo.get(b"b"), memo.get(b"a")] == [b"a" * 10, b"b" * 10, b"a" * 10]
    assert made == [b"a", b"b"]
    memo.get(b"c")
    memo.get(b"a")  # read after b, so b is evicted
    assert made == [b"a", b"b", b"c"]
    memo.get(b"b")
    assert made == [b"a", b"b", b"c", b"b"]


def test_a_result_larger_than_the_bound_is_not_kept() -> None:
    memo = SizedLru(lambda source: source * 10, most_bytes=25)
    assert memo.get(b"long") == b"long" * 10
    assert memo.get(b"a") == b"a" * 10


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

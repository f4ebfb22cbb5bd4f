"""A remembered value is read again when it has grown old, and an error is not remembered."""

from __future__ import annotations

import pytest

from app.memo import Memo


def test_a_fresh_value_is_not_read_again() -> None:
    numbers = iter(range(9))
    memo = Memo(lambda: next(numbers), for_s=60)
    assert [memo.get(), memo.get()] == [0, 0]


def test_an_old_value_is_read_again() -> None:
    numbers = iter(range(9))
    memo = Memo(lambda: next(numbers), for_s=-1)
    assert [memo.get(), memo.get()] == [0, 1]


def test_an_error_is_raised_each_time_and_forgotten() -> None:
    words = iter([ValueError("away"), "back"])

    def read() -> str:
        if isinstance(word := next(words), Exception):
            raise word
        return str(word)

    memo = Memo(read, for_s=60)
    with pytest.raises(ValueError, match="away"):
        memo.get()
    assert memo.get() == "back"

"""Numbers as people write them."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.util.numbers import plain, plain_json, without_exponents

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.66e-08, "0.0000000166"),
        (959108004.0, "959108004"),
        (1650000000.55, "1650000000.55"),
        (1234567.12345, "1234567.12345"),
        (1e22, "10000000000000000000000"),
        (-5e-7, "-0.0000005"),
        (0.0, "0"),
        (0.1, "0.1"),
    ],
)
def test_a_number_is_written_in_plain_decimals(value: float, text: str) -> None:
    assert plain(value) == text


def test_a_number_of_an_array_is_written_like_any_other() -> None:
    assert plain(np.array([90.9012])[0]) == "90.9012"


@given(FINITE)
def test_it_is_read_as_the_same_number_and_has_no_exponent(value: float) -> None:
    text = plain(value)
    assert float(text) == value
    assert "e" not in text.lower()


EXACT = st.floats(-(2.0**53), 2.0**53)
"""Beyond, a float does not hold all whole numbers, so programs would read another one."""


@given(st.recursive(st.one_of(EXACT, st.text(), st.integers(-(2**53), 2**53)), st.lists, max_leaves=9))
def test_json_has_the_same_numbers_without_exponents(value: object) -> None:
    assert orjson.loads(plain_json(value)) == value


@given(st.lists(FINITE, max_size=5))
def test_no_number_of_an_answer_has_one(values: list[float]) -> None:
    assert b"e" not in plain_json(values)


def test_strings_stay_as_they_are() -> None:
    body = orjson.dumps({"1e-7": ["2e-7", 3e-7, 'a"4e-7', "\\", 5e22]})
    assert without_exponents(body) == rb'{"1e-7":["2e-7",0.0000003,"a\"4e-7","\\",50000000000000000000000]}'
    assert math.isclose(orjson.loads(without_exponents(body))["1e-7"][1], 3e-7)

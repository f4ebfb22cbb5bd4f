from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchange.wire_time import parse_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-07-16T20:28:53.166419882Z", 1_784_233_733_166),
        ("2026-07-16T20:29:31.16407131Z", 1_784_233_771_164),
        ("2026-07-16T20:29:31.1Z", 1_784_233_771_100),
        ("2026-07-16T20:29:31.09Z", 1_784_233_771_090),
        ("2026-07-16T20:29:31.000999999Z", 1_784_233_771_000),
        ("2026-07-16T20:29:31Z", 1_784_233_771_000),
        ("2028-02-29T00:00:00Z", 1_835_395_200_000),
    ],
)
def test_reads_zero_to_nine_fraction_digits(text: str, ms: int) -> None:
    assert parse_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-07-16",
        "2026-07-16 20:28:53Z",
        "2026-07-16T20:28:53",
        "2026-07-16T20:28:53+00:00",
        "2026-07-16T20:28:53.Z",
        "2026-07-16T20:28:53.1234567890Z",
        "2026-02-30T20:28:53Z",
        "2026-07-16T24:00:00Z",
        "2026-07-16T20:60:53Z",
        "2026-07-16T20:28:60Z",
        "1969-12-31T23:59:59Z",
        "2107-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "２026-07-16T20:28:53Z",
        "2026-07-16T20:28:53.١Z",
        "2026-07-16T20:28:53Z\n",
        "2026-07-16 20:28:53.16294062 +0000 UTC m=+75497.317767664",
    ],
)
def test_refuses_invalid_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|day is|hour|minute|second"):
        parse_ms(text)


@given(st.integers(1, 2**32 - 1), st.integers(0, 999_999_999), st.integers(0, 9))
def test_agrees_with_the_standard_library_on_every_second(second: int, nanos: int, digits: int) -> None:
    fraction = f"{nanos:09d}"[:digits].rstrip("0")
    text = (
        datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if fraction else "") + "Z"
    )
    assert parse_ms(text) == second * 1000 + int(fraction[:3].ljust(3, "0"))


@given(st.text(max_size=40))
def test_nothing_but_a_value_error_is_raised(text: str) -> None:
    with suppress(ValueError):
        assert parse_ms(text) > 0

"""Points in time: accepted forms, and those refused with a reason."""

from __future__ import annotations

import pytest

from app.errors import InvalidInput
from app.util.timestamps import format_utc, parse_time

SECONDS = 1_738_324_800


@pytest.mark.parametrize(
    "text",
    [str(SECONDS), "2025-01-31T12:00:00Z", "2025-01-31T12:00:00", "2025-01-31T13:00:00+01:00", "2025-01-31 12:00"],
)
def test_seconds_and_iso_8601_are_accepted(text: str) -> None:
    assert parse_time(text) == SECONDS


@pytest.mark.parametrize(
    "text",
    ["", "now", "-1", "1.5", "1e9", "٣", "nan", "2025-13-01", "2025-01-31T12:00:00.5Z", "1738324800000", "9" * 5000],
)
def test_anything_else_is_refused_with_its_beginning(text: str) -> None:
    with pytest.raises(InvalidInput, match="UNIX seconds") as refusal:
        parse_time(text)
    assert len(str(refusal.value)) < 200


def test_a_moment_is_shown_in_utc() -> None:
    assert format_utc(SECONDS) == "2025-01-31 12:00:00"

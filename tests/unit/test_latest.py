"""Provisional candles under the newest value of a series."""

from __future__ import annotations

import pytest

from app.compute.latest import latest_values
from app.indicators.macdv import macdv_of_batch
from app.market.records import PROVISIONAL
from tests.build import B0, run, series


@pytest.mark.parametrize(
    ("marked", "expected"),
    [([], None), ([97, 98], None), ([99], 1), ([95, 97, 98, 99], 3), (list(range(100)), 100)],
)
def test_a_value_counts_its_newest_provisional_candles(marked: list[int], expected: int | None) -> None:
    candles = run(B0, 100)
    candles["flags"][marked] |= PROVISIONAL
    (value,) = latest_values([series()], [candles], macdv_of_batch([candles]))
    assert value is not None
    assert value.get("provisional") == expected

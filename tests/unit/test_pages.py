"""Missing pages, and requests that brought nothing new: the measures of downtimes."""

from __future__ import annotations

from typing import Any

from app.market.timeframes import Timeframe
from tests.faults.pages import NEW_PER_PAGE, Connectivity, brought_nothing_new, pages_missing, runs

M5, M15, H1 = Timeframe.M5, Timeframe.M15, Timeframe.H1
FIRST_S = 360_000
REACH = {M5: Connectivity(FIRST_S, FIRST_S + 997 * 300)}


def known(*indices: int) -> set[int]:
    return {FIRST_S + i * 300 for i in indices}


def total(reach: dict[Timeframe, Connectivity], known: dict[Timeframe, set[int]]) -> int:
    return pages_missing(reach, known).total()


def test_adjacent_buckets_are_one_run() -> None:
    assert runs([], 300) == []
    assert runs([900, 300, 600, 1_500], 300) == [3, 1]


def test_each_run_needs_its_pages() -> None:
    assert total(REACH, {M5: known(*range(998))}) == 0
    assert total(REACH, {M5: set()}) == 3
    assert total(REACH, {M5: known(*range(998 - NEW_PER_PAGE))}) == 1
    assert total(REACH, {M5: known(*range(998 - NEW_PER_PAGE - 1))}) == 2
    assert total(REACH, {M5: known(*range(500), *range(501, 990))}) == 2


def test_longer_buckets_are_missing_only_if_no_5m_candles_can_make_them() -> None:
    inside = REACH | {H1: Connectivity(FIRST_S, FIRST_S + 82 * 3_600)}
    assert total(inside, {M5: set(), H1: set()}) == 3
    before = REACH | {H1: Connectivity(FIRST_S - 400 * 3_600, FIRST_S + 82 * 3_600)}
    assert total(before, {M5: set(), H1: set()}) == 3 + 2
    across = REACH | {H1: Connectivity(FIRST_S - 1_800, FIRST_S + 82 * 3_600)}
    assert total(across, {M5: known(*range(998)), H1: set()}) == 1, "half of its children are out of reach"


def test_a_longer_series_does_not_wait_for_more_than_the_first_page_of_5m() -> None:
    """Otherwise 667 buckets before the oldest of 5m would be two pages, and no indicator ready before the last."""
    reach = REACH | {M15: Connectivity(FIRST_S - 667 * 900, FIRST_S + 997 * 300)}
    assert pages_missing(reach, {M5: set(), M15: set()}) == {M5: 3, M15: 3}
    some = set(range(FIRST_S - 667 * 900, FIRST_S - 67 * 900, 900))
    assert pages_missing(reach, {M5: set(), M15: some})[M15] == 1


def request(first: int, last: int, **changes: Any) -> dict[str, Any]:
    query = f"start={first}&end={last}&granularity=FIVE_MINUTE"
    return {"path": "/x/BTC-USD/candles", "query": query, "status": 200, **changes}


def test_a_request_without_a_new_bucket_is_counted() -> None:
    assert brought_nothing_new([request(300, 900), request(600, 900)]) == 1
    assert brought_nothing_new([request(300, 900), request(600, 1_200)]) == 0
    assert brought_nothing_new([request(300, 900), request(300, 900, path="/x/ETH-USD/candles")]) == 0
    assert brought_nothing_new([request(300, 900, status=500), request(300, 900)]) == 0
    assert brought_nothing_new([{"path": "/x/time", "query": "", "status": 200}]) == 0

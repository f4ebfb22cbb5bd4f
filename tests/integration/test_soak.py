"""A short soak: the whole system, a fault per market hour, and the exchange's truth at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.ledger import most_in_a_second, repeated
from tests.faults.soak import run

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.4)]


def test_an_hour_of_market_with_faults_ends_in_the_truth(tmp_path: Path) -> None:
    result = run(hours=1, products=8, seed=3, folder=tmp_path, write=print)
    assert result.wrong == []
    assert result.throttled == 0
    assert result.most_in_a_second <= 5
    assert result.repeated == 0
    assert sum(result.faults.values()) >= 1


def test_the_busiest_second_is_found_wherever_it_begins() -> None:
    assert most_in_a_second([]) == 0
    assert most_in_a_second([0.0, 0.9, 1.0, 1.1, 1.85]) == 4
    assert most_in_a_second([5.0, 4.0, 3.0]) == 1


def test_a_request_for_known_buckets_is_counted() -> None:
    def request(first: int, last: int, at_s: int) -> dict[str, object]:
        query = f"start={first}&end={last}&granularity=FIVE_MINUTE"
        return {"path": "/x/BTC-USD/candles", "query": query, "status": 200, "note": "", "exchange_ms": at_s * 1000}

    assert repeated([request(300, 600, 1_000), request(600, 600, 2_000)]) == 1
    assert repeated([request(300, 600, 1_000), request(600, 900, 2_000)]) == 0, "one of them is new"
    assert repeated([request(300, 600, 630), request(600, 600, 2_000)]) == 0, "it had not settled the first time"

"""Whatever happens to REST during a backfill, the cache becomes equal to the exchange automatically."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.world import World, started_world
from tests.oracle import assert_true
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.7)]

PRODUCTS = 6


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One installation for all of these: each test leaves it as it was."""
    with started_world(tmp_path_factory.mktemp("world"), PRODUCTS) as everything:
        yield everything


@pytest.mark.parametrize(
    "faults",
    [
        [{"fault": "rest_429", "count": 2}, {"fault": "rest_429", "count": 1, "body": "html"}],
        [{"fault": "rest_401", "count": 2}, {"fault": "rest_502", "count": 2}, {"fault": "rest_500", "count": 2}],
        [{"fault": "rest_truncated", "count": 3}, {"fault": "rest_late", "seconds": 50, "for_seconds": 10}],
    ],
    ids=["throttled", "refused and broken", "cut off and late"],
)
def test_trouble_with_rest_only_delays_a_backfill(faults: list[dict[str, object]], running: World) -> None:
    exchange, system = running.exchange, running.system
    for fault in faults:
        exchange.inject(**fault)  # type: ignore[arg-type]
    exchange.inject("refuse_connections", for_seconds=6)
    exchange.inject("reset")
    gone_s = exchange.now_s()
    eventually(lambda: system.now_s() > gone_s + 500, interval=0.1)
    assert_true(system, exchange)
    throttled = [r for r in exchange.get("/local/ledger")["requests"] if r["status"] == 429 and not r["note"]]
    assert throttled == []

"""The exchange refuses the candles of one product of many: its reason is shown, and the rest is ready."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.query.status import read_status
from app.query.status.model import Status
from tests.faults.world import FLOW, World, world
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=0.4)]

GONE = "ETH-USD"
SILENT_H = 14


def ready(everything: World) -> Status:
    """The state of an installation that is ready."""
    status = read_status(everything.system.context, everything.system.context.settings)
    assert status.ready, status.summary
    return status


def test_a_start_in_which_one_product_is_refused_ends_without_it(tmp_path: Path) -> None:
    with world(tmp_path, 3, 7) as everything:
        everything.exchange.inject("rest_404", path=f"/{GONE}/candles", for_seconds=600)
        everything.system.start(*FLOW)
        status: Status = eventually(lambda: ready(everything), interval=0.2)
        assert {s.product for s in status.series if not s.ready} == {GONE}
        assert (
            f"5 series are not ready: {GONE} 5m, {GONE} 15m, {GONE} 1h and 2 more: requests for it are given up: "
            in (status.summary)
        )
        assert "404" in status.summary
        assert status.start.requests_left == 0, "nothing is said to be on its way"


def named(status: Status | None) -> Status | None:
    """`status` if it says since when a product has no candle, and that REST answers 404."""
    is_named = status and re.search(r"no candle since 2021-03-04 \d\d:\d\d:00 UTC: .*404", status.summary)
    return status if is_named else None


def test_a_delisted_product_is_set_apart_by_name_date_and_reason(tmp_path: Path) -> None:
    with world(tmp_path, 3, 7, *FLOW) as everything:
        eventually(lambda: everything.system.has_started(3), interval=0.2)
        everything.exchange.inject("delist_product", product=GONE, gone=True)
        for _ in range(3):
            everything.exchange.jump(SILENT_H * 3_600)
            jumped_s = everything.exchange.now_s()
            eventually(lambda at=jumped_s: everything.system.now_s() >= at, interval=0.2)
            status: Status = eventually(lambda: named(ready(everything)), interval=0.2)
            apart = {s.product for s in status.series if s.stale}
            assert apart == {GONE}
            assert f"out of date: {GONE} 5m, {GONE} 15m" in status.summary
            assert status.start.requests_left == 0

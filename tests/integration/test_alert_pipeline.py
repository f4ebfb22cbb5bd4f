"""Alerts end to end, with real processes: from frames of the exchange to requests at a webhook."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alerts import StoredAlert
from tests.alerting import service
from tests.alerts_reference import RULES, Row, expected_alerts
from tests.oracle import Exchange, held
from tests.support import eventually
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=0.7)]

PRODUCTS = ["BTC-USD", "ETH-USD", "SOL-USD"]
TIMEFRAMES = (Timeframe.M5, Timeframe.M15)
CHANNEL = """
[alerts.channel.hook]
kind = "webhook"
url_env = "HOOK"
allow_private = true

[alerts.channel.discord]
url_env = "DISCORD"
allow_private = true
"""
DIGEST = rb'"title":"(\d+) alerts of '
DELIVERY = "[alerts.delivery]\ntimeout_seconds = 5\nlease_seconds = 15\n"


def expected(system: System, series: Series) -> tuple[list[str], int]:
    """The alerts of an independent computation over the cached candles since the baseline, and the last bar judged."""
    cursor = system.context.indicators.read_cursors([series])[0]
    assert cursor is not None
    bars = held(system.context.candles.read(series, 0, cursor.evaluated_s))
    rows = [Row(start, bar.high, bar.low, bar.close) for start, bar in sorted(bars.items())]
    assert all(bar.trades for bar in bars.values())
    assert len(rows) > 100
    assert rows[-1].start - rows[0].start == (len(rows) - 1) * series.timeframe.seconds, "without a hole"
    alerts = expected_alerts(series.product, rows, series.timeframe.seconds, cursor.baseline_s)
    return [f"{a.rule}|{series.product}|{series.timeframe}|{a.start}" for a in alerts], cursor.evaluated_s


def test_every_alert_of_a_running_market_arrives_although_workers_are_killed(
    start_exchange: Callable[..., Exchange], start_system: Callable[..., System], tmp_path: Path
) -> None:
    (tmp_path / "candlewick.toml").write_text(RULES + CHANNEL + DELIVERY)
    exchange = start_exchange("--seed", "7", "--start", "2021-03-04T00:00:00Z", "--speed", "200")
    with service() as hook:
        system = start_system(
            exchange,
            CANDLEWICK_COINBASE__PRODUCTS=",".join(PRODUCTS),
            CANDLEWICK_TIMEFRAMES=",".join(TIMEFRAMES),
            CANDLEWICK_CONFIG=str(tmp_path / "candlewick.toml"),
            HOOK=hook.url,
            DISCORD=f"{hook.url}/discord",
        )
        system.start("indicators2", "alerts2")
        eventually(lambda: system.has_started(len(PRODUCTS)), interval=0.2)
        for victims in (("indicators", "alerts"), ("indicators2", "alerts2")):
            system.wait_until(exchange.now_s() + 2400)
            for victim in victims:
                system.processes[victim].send(signal.SIGKILL)
            system.start(*victims)
        system.wait_until(exchange.now_s() + 1200)
        system.processes["ingest"].send(signal.SIGSTOP)  # no new bars while they are compared

        def all_arrived() -> list[StoredAlert]:
            stored, _ = system.context.alerts.newest(10_000, lambda _: True)
            many = [Series("coinbase", p, t) for p in PRODUCTS for t in TIMEFRAMES]
            wanted = [identity for series in many for identity in expected(system, series)[0]]
            assert sorted(alert.id for alert in stored) == sorted(wanted)
            assert set(hook.accepted) == {f"{identity}|raised" for identity in wanted}
            assert not any(system.context.deliveries.waiting(["hook", "discord"]).values())
            return stored

        stored = eventually(all_arrived, interval=0.5)
    assert len(stored) >= 5
    assert not [alert for alert in stored if alert.withdrawn]
    bodies = [got.body for got in hook.got if got.path == "/discord"]
    alone = [body for body in bodies if not re.search(DIGEST, body)]
    together = [int(found[1]) for body in bodies if (found := re.search(DIGEST, body))]  # old for a new worker
    assert len(alone) + sum(together) >= len(stored)
    assert all(b"\x89PNG" in body for body in alone)
    assert len(hook.accepted) <= len(stored) + 2, "at most one a killed worker twice"

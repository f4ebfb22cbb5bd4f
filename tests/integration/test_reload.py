"""New alert rules and channels while everything runs: no alert is lost, doubled, or judged by half of each file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import redis

from app.alerts.in_force import RulesInForce
from app.compute.computer import Computer
from app.context import Context
from app.market.candles import CandleState
from app.market.records import PROVISIONAL
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.indicators import IndicatorCache
from app.storage.model import Origin, Write
from app.storage.rules import RuleStore
from app.tasks import Tasks
from tests.alerting import raise_alerts, service
from tests.alerts_reference import Row, expected_alerts
from tests.integration.test_alert_changes import SERIES, T0, again, bars
from tests.oracle import Exchange, held
from tests.support import PATIENCE_S, ROOT, Process, eventually, free_port
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1)]

HOOK = '[alerts.channel.hook]\nkind = "webhook"\nurl_env = "HOOK"\nallow_private = true\n'


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        timeout=PATIENCE_S,
        check=False,
    )


def file_of(version: int) -> str:
    """Rules with names of their own, each twice: an event that half of a file judges has one alert."""
    return HOOK + "".join(
        f'[[alerts.rule]]\nname = "{name}-v{version}{twin}"\nkind = "{kind}"\n{more}'
        for twin in ("", "-twin")
        for name, kind, more in (
            ("levels", "level", ""),
            ("near", "level", "levels = [-120, -80, 80, 120]\n"),
            ("reversals", "reversal", ""),
        )
    )


def test_every_bar_is_judged_by_the_whole_of_one_file(
    start_exchange: Callable[..., Exchange], start_system: Callable[..., System], tmp_path: Path
) -> None:
    config = tmp_path / "candlewick.toml"
    config.write_text(file_of(0))
    exchange = start_exchange("--seed", "7", "--start", "2021-03-04T00:00:00Z", "--speed", "150", "--products", "10")
    with service() as hook:
        env = {"CANDLEWICK_CONFIG": str(config), "HOOK": hook.url, "CANDLEWICK_TIMEFRAMES": "5m,15m"}
        system = start_system(exchange, **env, CANDLEWICK_COINBASE__PRODUCTS="all:USD")
        system.start("indicators2", "alerts2")
        eventually(lambda: system.has_started(10), interval=0.2)
        products = system.context.products.delivered()
        for version in range(1, 6):
            system.wait_until(exchange.now_s() + 600)
            config.write_text(file_of(version))
            done = command("reload", REDIS_URL=system.context.settings.redis_url, **env)
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("reloaded: alert rules: 6, channels: 1")
        system.wait_until(exchange.now_s() + 1200)
        system.processes["ingest"].stop()
        many = [Series("coinbase", p, t) for p in products for t in (Timeframe.M5, Timeframe.M15)]
        eventually(lambda: all_is_judged_once(system, many), interval=0.5)
        versions = {version for series in many for version in judged_by(system, series)}
        identities = [f"{alert.id}|raised" for alert in system.context.alerts.newest(10_000, lambda _: True)[0]]
        eventually(lambda: sorted(hook.accepted) == sorted(identities))
    assert len(versions) > 2, "several files had an event"


def all_is_judged_once(system: System, many: list[Series]) -> bool:
    """Whether each event has the alerts of one file; `AssertionError` if one has more, or has half of them."""
    for series in many:
        cursor = system.context.indicators.read_cursors([series])[0]
        assert cursor
        candles = held(system.context.candles.read(series, 0, cursor.evaluated_s))
        rows = [Row(start, bar.high, bar.low, bar.close) for start, bar in sorted(candles.items())]
        wanted: dict[int, set[str]] = defaultdict(set)
        for alert in expected_alerts(series.product, rows, series.timeframe.seconds, cursor.baseline_s):
            if alert.rule in ("levels", "near", "reversals"):
                wanted[alert.start].add(alert.rule)
        found = alerts_of(system, series)
        assert found.keys() == wanted.keys(), series
        versions = judged_by(system, series)
        for (start_s, names), version in zip(sorted(found.items()), versions, strict=True):
            expected = {f"{rule}-v{version}{twin}" for rule in wanted[start_s] for twin in ("", "-twin")}
            assert names == expected, (series, start_s)
        assert versions == sorted(versions), "never back to an earlier file"
    return True


def alerts_of(system: System, series: Series) -> dict[int, set[str]]:
    """The rules of the alerts of each bar, by its start."""
    found: dict[int, set[str]] = defaultdict(set)
    for alert in system.context.alerts.newest(10_000, lambda _: True)[0]:
        if (alert.fact["product"], alert.fact["timeframe"]) == (series.product, series.timeframe):
            assert alert.withdrawn is None
            found[alert.fact["start"]].add(alert.fact["rule"])
    return found


def judged_by(system: System, series: Series) -> list[int]:
    """The file that judged each bar with alerts, in the order of the bars; if several did, the first one."""
    found = sorted(alerts_of(system, series).items())
    return [min(int(re.findall(r"-v(\d+)", name)[0]) for name in names) for _, names in found]


def test_a_wrong_file_changes_nothing_and_names_its_line(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "candlewick.toml"
    env = {"CANDLEWICK_CONFIG": str(config), "REDIS_URL": redis_url}
    config.write_text(file_of(1))
    assert command("reload", **env).returncode == 0
    before = RuleStore(redis_client).version()
    config.write_text(file_of(2) + '[[alerts.rule]]\nname = "x"\nkind = "lvl"\n')
    done = command("reload", **env)
    line = config.read_text().count("\n")
    assert done.returncode == 2
    assert re.search(rf"candlewick\.toml, line {line}: alerts\.rule\.6\.kind: must be one of", done.stderr)
    assert RuleStore(redis_client).version() == before
    config.write_text(file_of(2))
    assert command("reload", **env).returncode == 0
    assert RuleStore(redis_client).version() != before


def test_a_new_channel_delivers_and_is_listed_without_a_restart(
    processes: Callable[..., Process], redis_url: str, indicators: IndicatorCache, tasks: Tasks, tmp_path: Path
) -> None:
    config, port = tmp_path / "candlewick.toml", free_port()
    config.write_text("[alerts.channel.log]\n")
    with service() as hook:
        (tmp_path / "hook").write_text(f"{hook.url}\n")
        env = {
            "CANDLEWICK_CONFIG": str(config),
            "REDIS_URL": redis_url,
            "CANDLEWICK_WEB_PORT": str(port),
            "HOOK_FILE": str(tmp_path / "hook"),
        }
        worker = [sys.executable, "-m", "workers", "worker", "-Q", "alerts", "-P", "threads", "-n", "alerts@%h"]
        processes([*worker, "--without-gossip", "--without-mingle"], env=env)
        processes([sys.executable, "-m", "app", "web"], env=env)

        def listed() -> list[str]:
            rows = httpx.get(f"http://127.0.0.1:{port}/v1/alert-channels", timeout=PATIENCE_S).json()["channels"]
            return [row["channel"] for row in rows]

        eventually(lambda: listed() == ["log"])
        raise_alerts(indicators, [1], ("hook",))
        config.write_text("[alerts.channel.log]\n" + HOOK)
        assert command("reload", **env).returncode == 0
        assert listed() == ["log", "hook"]
        tasks.deliver()
        eventually(lambda: len(hook.accepted) == 1)


class Bars:
    """One series and one worker, whose rules change by a publication."""

    def __init__(self, client: redis.Redis, text: str, folder: Path) -> None:
        self.file = folder / "candlewick.toml"
        self.context = Context(self._settings(text), client)
        self.context.rules.announce()
        c = self.context
        parts = c.candles, c.indicators, "coinbase", (Timeframe.M5,)
        self.computer = Computer(*parts, c.evaluator(), renewed=c.evaluator)

    def _settings(self, text: str) -> Settings:
        self.file.write_text(text)
        environ = {"CANDLEWICK_CONFIG": str(self.file), "CANDLEWICK_TIMEFRAMES": "5m"}
        return Settings.from_environment(environ)

    def publish(self, text: str) -> None:
        """As another process would."""
        RulesInForce(self.context.redis, self._settings(text).alerts).announce()

    def put(self, records: object) -> None:
        self.context.candles.write([Write(SERIES, records, Origin.given(T0))])  # type: ignore[arg-type]
        first_s, last_s = int(records["start_s"][0]), int(records["start_s"][-1])  # type: ignore[index]
        self.context.clock.set((last_s + 300) * 1000)
        self.computer.update([ChangedRange("BTC-USD", Timeframe.M5, first_s, last_s)], last_s + 300)

    def raised(self) -> list[tuple[str, int]]:
        stored = self.context.alerts.newest(100, lambda _: True)[0]
        return sorted((alert.fact["rule"], (alert.fact["start"] - T0) // 300) for alert in stored)


def price_rules(*names: str, at: float = 150) -> str:
    return "".join(
        f'[[alerts.rule]]\nname = "{n}"\nkind = "price"\nproducts = ["BTC-USD"]\nprices = [{at}]\ncooldown_bars = 0\n'
        for n in names
    )


def test_a_worker_with_earlier_rules_judges_by_the_new_ones(redis_client: redis.Redis, tmp_path: Path) -> None:
    series = Bars(redis_client, price_rules("a", "b"), tmp_path)
    series.put(bars(0, *[100.0] * 99))
    series.put(bars(99, 160.0))
    series.publish(price_rules("b", "c"))
    series.put(bars(100, 140.0))
    assert series.raised() == [("a", 99), ("b", 99), ("b", 100), ("c", 100)]


def test_bars_judged_before_get_no_alert_of_new_rules_but_those_of_unchanged_ones(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    series = Bars(redis_client, price_rules("stays", "goes"), tmp_path)
    series.put(bars(0, *[100.0] * 98))
    waiting = bars(98, 160.0)
    waiting["flags"] |= PROVISIONAL
    series.put(waiting)
    series.put(bars(99, 160.0))
    assert series.raised() == [], "both wait for the provisional candle"
    series.publish(price_rules("stays", "comes"))
    series.put(bars(100, 160.0))
    confirmed = again(bars(98, 160.0), flags=CandleState.CONFIRMED)
    series.put(confirmed)
    assert series.raised() == [("stays", 98)]
    series.put(bars(101, 140.0))
    assert series.raised() == [("comes", 101), ("stays", 98), ("stays", 101)]


def test_a_changed_rule_of_the_same_name_leaves_its_earlier_alerts(redis_client: redis.Redis, tmp_path: Path) -> None:
    series = Bars(redis_client, price_rules("a"), tmp_path)
    series.put(bars(0, *[100.0] * 99))
    series.put(bars(99, 160.0))
    series.publish(price_rules("a", at=155))
    series.put(again(bars(99, 160.0), 161.0, flags=CandleState.CONFIRMED))
    (alert,) = series.context.alerts.newest(10, lambda _: True)[0]
    assert (alert.event, alert.withdrawn) == ("150 up", None)
    assert redis_client.zcard("cw:2:deliveries:log:waiting") == 1, "nothing is said twice"


def test_rules_survive_a_redis_that_lost_its_data(redis_client: redis.Redis, tmp_path: Path) -> None:
    series = Bars(redis_client, price_rules("a"), tmp_path)
    series.publish(price_rules("b"))
    before = series.context.rules.read()
    redis_client.flushdb()
    after = series.context.rules.read()
    assert after.settings == before.settings
    assert RuleStore(redis_client).version() == after.version != before.version

"""Alerts over the API and on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from app.context import Context
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.connection import connect
from app.storage.indicators import IndicatorCache
from app.wire.alerts import AlertsAnswer
from tests import filled
from tests.alerting import B0, SERIES, alert_settings, raise_alerts, service
from tests.described import check
from tests.integration.test_web import served
from tests.support import PATIENCE_S, ROOT

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.4)]

ETH = Series("coinbase", "ETH-USD", Timeframe.H1)
FILE = '[alerts.channel.hook]\nkind = "webhook"\nurl_env = "HOOK"\nallow_private = true\n[alerts.channel.log]\n'
CANARY = "canary-0b1d"


@pytest.fixture
def context(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    monkeypatch.setenv("CANDLEWICK_CONFIG", str(tmp_path / "candlewick.toml"))
    (tmp_path / "candlewick.toml").write_text(FILE)
    cache = IndicatorCache(redis_client, events_kept=100)
    raise_alerts(cache, range(1, 8), ("hook", "log"))
    raise_alerts(cache, range(1, 4), ("hook", "log"), series=ETH)
    raise_alerts(cache, [2, 3], ("hook", "log"), series=ETH, revision=10)
    settings = filled.settings(redis_url).model_copy(update={"alerts": alert_settings(FILE)})
    with connect(redis_url) as client:
        yield Context(settings, client)


@pytest.fixture
def web(context: Context) -> Iterator[httpx.Client]:
    with served(context) as client:
        yield client


def ids(answer: dict[str, Any]) -> list[str]:
    return [alert["id"] for alert in answer["alerts"]]


def test_alerts_are_listed_newest_first_and_in_pages(web: httpx.Client) -> None:
    whole = web.get("/v1/alerts").json()
    assert len(whole["alerts"]) == 10
    assert whole["next"] is None
    assert [a["end"] for a in whole["alerts"]] == sorted((a["end"] for a in whole["alerts"]), reverse=True)
    pages, cursor = [], ""
    while cursor is not None:
        page = web.get("/v1/alerts", params={"limit": 3, "cursor": cursor}).json()
        pages.append(ids(page))
        cursor = page["next"]
    assert [len(p) for p in pages] == [3, 3, 3, 1]
    assert [i for page in pages for i in page] == ids(whole)


def test_a_page_continues_at_the_end_of_the_last_one_despite_new_alerts(
    web: httpx.Client, redis_client: redis.Redis
) -> None:
    whole = ids(web.get("/v1/alerts").json())
    first = web.get("/v1/alerts", params={"limit": 4}).json()
    raise_alerts(IndicatorCache(redis_client, events_kept=100), [90], ("log",), series=SERIES.at(Timeframe.M15))
    rest = web.get("/v1/alerts", params={"cursor": first["next"]}).json()
    assert ids(first) + ids(rest) == whole


def test_alerts_are_filtered(web: httpx.Client) -> None:
    def count(**params: object) -> int:
        return len(web.get("/v1/alerts", params=params).json()["alerts"])  # type: ignore[arg-type]

    assert count(product="btc-usd") == 7
    assert count(product="ETH-USD", timeframe="1h") == 3
    assert count(timeframe="5m", rule="levels") == 7
    assert count(rule="reversals") == 0
    assert count(product="BTC-USD", since=B0 + 300 * 7) == 2
    assert count(since="2021-03-04T04:00:00Z") == 1


def test_an_alert_has_all_its_fields(web: httpx.Client) -> None:
    answer = web.get("/v1/alerts", params={"product": "ETH-USD", "since": 0})
    check(AlertsAnswer, answer.content)
    (alert,) = answer.json()["alerts"][-1:]
    assert alert["title"] == "ETH-USD: MACD-V crossed below -150 (1h)"
    assert (alert["state"], alert["withdrawn_at"]) == ("withdrawn", B0 + 1200)
    stands = web.get("/v1/alerts").json()["alerts"][0]
    assert (stands["state"], stands["withdrawn_at"], stands["deliveries"]) == ("stands", None, {})


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("timeframe=7m", "timeframe"),
        ("since=yesterday", "since"),
        ("cursor=xyz", "invalid cursor"),
        ("cursor=%00", "invalid cursor"),
        ("produkt=BTC-USD", "produkt: no such parameter"),
    ],
)
def test_a_wrong_query_is_refused(web: httpx.Client, query: str, complaint: str) -> None:
    answer = web.get(f"/v1/alerts?{query}")
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]


def test_channels_show_their_state(web: httpx.Client, context: Context) -> None:
    context.deliveries.disable("hook", "the service answered 404", "x")
    rows = web.get("/v1/alert-channels").json()["channels"]
    assert [(r["channel"], r["kind"], r["state"], r["reason"]) for r in rows] == [
        ("hook", "webhook", "disabled", "the service answered 404"),
        ("log", "log", "working", None),
    ]
    assert rows[1]["waiting"] == 11, "ten alerts, and one that was withdrawn"


def run(context: Context, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "app", "alerts", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": context.settings.redis_url, **env},
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_command_lists_alerts_and_channels(context: Context) -> None:
    done = run(context, "--product", "ETH-USD")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ETH-USD: MACD-V crossed below -150 (1h)") == 3
    assert "withdrawn" in done.stdout
    assert "channel hook (webhook) working, 11 waiting, 0 done" in done.stdout
    answer = json.loads(run(context, "--json", "--limit", "2").stdout)
    assert len(answer["alerts"]) == 2
    assert answer["next"]
    assert answer["channels"][0]["channel"] == "hook"


def test_a_channel_is_tried_and_enabled(context: Context) -> None:
    context.deliveries.disable("hook", "the service answered 404", "x")
    with service() as hook:
        done = run(context, "test", "hook", HOOK=f"{hook.url}/{CANARY}")
        assert (done.returncode, done.stdout) == (0, "sent: channel hook accepted an example\n")
        (got,) = hook.got
    assert got.id == "test|raised"
    assert b"This is only a test" in got.body
    assert context.deliveries.state("hook").disabled is None


def test_a_channel_that_fails_its_test_reports_why_without_its_secret(context: Context) -> None:
    with service(lambda _: (404, {}, b"")) as hook:
        done = run(context, "test", "hook", HOOK=f"{hook.url}/{CANARY}")
    assert (done.returncode, done.stderr) == (1, "error: the service answered 404\n")
    assert run(context, "test", "hook").stderr == "error: channel hook: the environment variable HOOK is not set\n"
    assert "no channel is called 'nope'" in run(context, "test", "nope").stderr
    done = run(context, "test", "hook", HOOK=f"http://127.0.0.1:1/{CANARY}")
    assert done.stderr == "error: no connection\n"


def test_a_disabled_channel_is_enabled_by_hand(context: Context) -> None:
    context.deliveries.disable("log", "x", "y")
    assert run(context, "enable", "log").stdout == "channel log is enabled\n"
    assert run(context, "enable", "log").stdout == "channel log was not disabled: nothing to do\n"
    assert context.deliveries.state("log").disabled is None

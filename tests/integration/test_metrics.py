"""`/metrics` over a real socket, from a real Redis; and the rules and the dashboard that use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from app.context import Context
from app.errors import Refused, Throttled, Unavailable
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys, mismatches
from app.storage.connection import connect
from app.storage.model import Write
from app.storage.queue import BackfillRequest, Kind, Priority
from tests import filled, plain
from tests.integration.test_stream import add, following
from tests.oracle import Exchange
from tests.serving import serving
from tests.support import PATIENCE_S, ROOT, eventually
from tests.system import System

pytestmark = pytest.mark.integration

BTC = Series("coinbase", "BTC-USD", Timeframe.M5)
Metrics = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:  # noqa: ARG001  # empties Redis
    made = Context(filled.settings(redis_url), connect(redis_url))
    filled.fill(made)
    yield made
    made.redis.close()


@pytest.fixture
def web(context: Context) -> Iterator[str]:
    with serving(context) as (url, _):
        yield url


def scrape(url: str) -> Metrics:
    answer = plain.get(f"{url}/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }


def of(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics[f"candlewick_{name}", tuple(sorted(labels.items()))]


def test_the_state_of_a_healthy_installation(web: str) -> None:
    now = scrape(web)
    assert (of(now, "ready"), of(now, "feed_connected"), of(now, "feed_ingests")) == (1, 1, 1)
    assert of(now, "candle_age_seconds", timeframe="5m", quantile="1") == 130
    assert of(now, "candle_age_seconds", timeframe="1h", quantile="0.5") == 130
    assert [of(now, "products", state=s) for s in ("ready", "starting", "refused")] == [3, 0, 1]
    assert [of(now, "series", state=s) for s in ("current", "starting", "stale")] == [6, 0, 0]
    [ingest] = {dict(labels)["ingest"] for name, labels in now if name == "candlewick_connection_open"}
    connection = {"ingest": ingest, "connection": "1"}
    assert of(now, "connection_reconnects_total", **connection) == 1
    assert of(now, "connection_sequence_gaps_total", **connection) == 1
    assert of(now, "channel_silent_seconds", channel="candles", **connection) == 0.04
    assert of(now, "open_gaps", timeframe="5m") == 0
    assert of(now, "budget_per_second") == 5
    assert of(now, "tasks_waiting", queue="indicators") == 0
    assert of(now, "redis_used_bytes") > 1e6
    assert ("process_resident_memory_bytes", ()) in now


def test_problems_are_counted(web: str, context: Context) -> None:
    gap, failed = (BackfillRequest(Kind.GAP, "SOL-USD", t) for t in filled.TIMEFRAMES)
    context.queue.add([(gap, Priority.GAP), (failed, Priority.GAP)])
    context.queue.fail(failed, "404", filled.NOW_S * 1000)
    context.redis.zrem(keys.backfill("coinbase", "ready"), str(failed))
    corrected = filled.walk(filled.OPEN_S - 300, 1, 300)
    corrected["observed_ms"] += 1
    written = context.candles.write([Write(BTC, corrected)])
    mismatches.record(context.redis, written, cause="reconcile", exchange_ms=filled.NOW_S * 1000)
    assert context.budget.acquire()
    context.budget.pause(300)
    context.redis.rpush("cw:2:celery:indicators", b"{}")
    now = eventually(lambda: m if of(m := scrape(web), "open_gaps", timeframe="5m") else None)
    assert [of(now, "backfill_requests", state=s) for s in ("ready", "given_up")] == [1, 1]
    assert of(now, "corrections_total", cause="reconcile", timeframe="5m") == 1
    assert (of(now, "budget_in_use"), of(now, "budget_granted_total"), of(now, "budget_throttled_total")) == (1, 1, 1)
    assert 0 < of(now, "budget_paused_seconds") <= 300
    assert of(now, "tasks_waiting", queue="indicators") == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "ok"),
        (Throttled("429"), "throttled"),
        (Refused("404"), "refused"),
        (Unavailable("503"), "unavailable"),
        (RuntimeError("a bug"), "unavailable"),
    ],
)
def test_requests_count_by_reason_and_status(web: str, context: Context, error: Exception | None, status: str) -> None:
    def respond(_: object) -> None:
        if error:
            raise error

    def request() -> None:
        with context.budgeted_rest.permit(timeout_s=PATIENCE_S) as permit:
            assert permit
            permit.request("gap", respond)

    for _ in range(3):
        if error is None:
            request()
        else:
            with pytest.raises(type(error)):
                request()
    now = scrape(web)
    assert of(now, "rest_requests_total", reason="gap", status=status) == 3
    assert [labels for name, labels in now if name == "candlewick_rest_requests_total"] == [
        (("reason", "gap"), ("status", status))
    ]


def test_the_time_from_a_close_to_its_indicator(web: str, context: Context) -> None:
    scrape(web)  # from now on
    candle = filled.walk(filled.OPEN_S, 1, 300)
    context.candles.write([Write(BTC, candle)])
    closed_ms = int(context.redis.xrevrange(keys.EVENTS, count=1)[0][0].split(b"-")[0])
    filled.compute(context, {BTC: candle})
    indicated_ms = int(context.redis.xrevrange(keys.EVENTS, count=1)[0][0].split(b"-")[0])
    for _ in range(2):  # a second scrape counts nothing twice
        now = scrape(web)
        assert of(now, "close_to_indicator_seconds_count", timeframe="5m") == 1
        assert of(now, "close_to_indicator_seconds_sum", timeframe="5m") == (indicated_ms - closed_ms) / 1000
        assert of(now, "close_to_indicator_seconds_bucket", timeframe="5m", le="+Inf") == 1


def test_clients_of_the_stream_are_counted_with_their_lag(web: str, context: Context) -> None:
    assert of(scrape(web), "stream_clients") == 0
    with following(web, context) as follow:
        follower = follow()
        add(context, [1])
        follower.has(1)
        now = scrape(web)
        assert (of(now, "stream_clients"), of(now, "stream_lag_seconds")) == (1, 0)


def test_without_redis_a_scrape_fails(context: Context) -> None:
    context.redis = connect("redis://127.0.0.1:1/0", timeout_s=0.2)
    with serving(context) as (url, _):
        answer = plain.get(f"{url}/metrics")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "redis_unavailable")
    context.redis.close()


# Users of the metrics


def _used(text: str) -> set[str]:
    return set(re.findall(r"candlewick_[a-z0-9_]+", text))


def test_rules_and_dashboard_use_existing_metrics(
    start_exchange: Callable[..., Exchange], start_system: Callable[..., System]
) -> None:
    """On a whole system, because some metrics exist only after their first event."""
    rules = (ROOT / "deploy/prometheus-rules.yml").read_text()
    used = _used("\n".join(line for line in rules.splitlines() if "description" not in line))
    dashboard = json.loads((ROOT / "deploy/grafana.json").read_text())
    exprs = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(exprs) > 20
    used |= _used("\n".join(exprs))
    system = start_system(
        start_exchange("--products", "3"), CANDLEWICK_COINBASE__PRODUCTS="all:USD", CANDLEWICK_TIMEFRAMES="5m,15m"
    )
    system.context.redis.sadd(keys.DELIVERY_CHANNELS, "some")
    system.context.redis.hincrby(keys.COUNTERS, "corrections:reconcile:5m")
    with serving(system.context) as (url, _):

        def complete_names() -> set[str]:  # candle, page of history and close come in any order
            names = {name for name, _ in scrape(url)}
            assert used - names == set()
            return names

        names = eventually(complete_names, interval=0.5)
    assert {n for n in names if n.startswith("candlewick_") and not n.endswith(("_created", "_sum", "_count"))} - _used(
        (ROOT / "docs/operations.md").read_text()
    ) == set()

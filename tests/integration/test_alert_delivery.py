"""Delivery of alerts to a real HTTP server: none lost or repeated, for any response and any killed worker."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from app.delivery import delivery as delivery_module
from app.delivery.channels.build import MisconfiguredChannel, build_channels
from app.delivery.channels.channel import Channel, Message
from app.delivery.channels.webhook import sign
from app.delivery.delivery import Delivery
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys
from app.storage.alerts import AlertCache
from app.storage.deliveries import Deliveries
from app.storage.indicators import IndicatorCache
from app.tasks import Tasks
from tests.alerting import OK, Answer, alert_settings, fact, raise_alerts, service
from tests.support import PATIENCE_S, Process, eventually

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.4)]

FILE = """
[alerts.channel.hook]
kind = "webhook"
url_env = "HOOK_URL"
secret_env = "HOOK_SECRET"
allow_private = true

[alerts.delivery]
timeout_seconds = 60
lease_seconds = 180
"""
QUICK = FILE.replace("= 60", "= 3").replace("= 180", "= 9")
"""Its time-outs and claims end within a test."""

SECRET = "canary-4f1c-secret"


def delivery(deliveries: Deliveries, url: str, file: str = FILE, **environ: str) -> Delivery:
    settings = alert_settings(file)
    channels = build_channels(settings, {"HOOK_URL": url, "HOOK_SECRET": SECRET, **environ}.get)
    return Delivery(deliveries, channels, settings.delivery, lambda _: None, lambda: None)


def drained(delivery_: Delivery) -> None:
    """Deliver as sweeps do until nothing is waiting."""

    def sweep() -> bool:
        delivery_.drain("hook")
        return not delivery_.waiting()

    eventually(sweep)


def test_a_message_is_signed_and_carries_its_identity(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    with service() as hook:
        (identity,) = raise_alerts(indicators, [1], ("hook",))
        began_s = int(time.time())
        assert delivery(deliveries, f"{hook.url}/a/b").drain("hook") == 1
    (got,) = hook.got
    timestamp = int(got.headers["X-Candlewick-Timestamp"])
    assert began_s <= timestamp <= time.time()
    assert got.headers["X-Candlewick-Signature"] == f"sha256={sign(SECRET, timestamp, got.body)}"
    assert got.id == got.headers["Idempotency-Key"] == f"{identity}|raised"
    assert got.path == "/a/b"
    assert AlertCache(deliveries._client).read([identity])[0].said["hook", "raised"]["state"] == "sent"


def test_429_500_timeout_and_404_in_turn_lose_nothing_and_double_nothing(
    indicators: IndicatorCache, deliveries: Deliveries
) -> None:
    hang = threading.Event()

    def answer(number: int) -> Answer:
        match number:
            case 2:
                return 429, {"Retry-After": "1"}, b""
            case 4:
                return 500, {}, b"oops"
            case 6:
                hang.wait(PATIENCE_S)
                return 503, {}, b""
            case 8:
                return 404, {}, b""
        return OK

    with service(answer) as hook:
        ids = raise_alerts(indicators, range(1, 13), ("hook",))
        delivery_ = delivery(deliveries, hook.url, QUICK)
        eventually(lambda: delivery_.drain("hook") >= 0 and deliveries.state("hook").disabled)
        hang.set()
        assert deliveries.state("hook").disabled == "the service answered 404"
        assert delivery_.drain("hook") == 0, "a disabled channel is left alone"
        assert hook.accepted == [f"{i}|raised" for i in ids[: len(hook.accepted)]]
        assert deliveries.state("hook").waiting == len(ids) - len(hook.accepted)
        deliveries.enable("hook")
        drained(delivery_)
    assert hook.accepted == [f"{i}|raised" for i in ids]
    state = deliveries.state("hook")
    assert (state.waiting, state.claimed, state.done, state.disabled, state.trouble) == (0, 0, 12, None, None)


class Odd(Channel):
    """A channel that raises an unexpected exception."""

    target = "odd"

    def send(self, message: Message) -> float:
        raise RecursionError(f"{SECRET} {message.id}")


def test_any_exception_of_a_channel_counts_as_a_try(
    indicators: IndicatorCache, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    (identity,) = raise_alerts(indicators, [1], ("hook",))
    delivery_ = Delivery(deliveries, {"hook": Odd()}, alert_settings(FILE).delivery, lambda _: None, lambda: None)
    assert delivery_.drain("hook") == 0
    state = deliveries.state("hook")
    assert (state.waiting, state.claimed, state.failures, state.trouble) == (1, 0, 1, "unexpected RecursionError")
    assert f"{identity} not sent (try 1): unexpected RecursionError" in caplog.text
    assert SECRET not in caplog.text


def test_a_run_of_refusals_disables_a_channel_with_the_services_reason(
    indicators: IndicatorCache, deliveries: Deliveries
) -> None:
    refusals = [True, True, False, True, True, True, False]

    def answer(number: int) -> Answer:
        return (400, {}, b'{"message": "no thread_name"}') if refusals[number] else OK

    with service(answer) as hook:
        ids = raise_alerts(indicators, range(1, 9), ("hook",))
        delivery_ = delivery(deliveries, hook.url)
        eventually(lambda: delivery_.drain("hook") >= 0 and deliveries.state("hook").disabled)
        assert deliveries.state("hook").disabled == "the service answered 400: no thread_name"
        assert (len(hook.got), deliveries.state("hook").waiting) == (6, 2), "two in a row are no run"
        state = AlertCache(deliveries._client).read([ids[0]])[0].said["hook", "raised"]["state"]
        assert state == "refused: the service answered 400: no thread_name"
        deliveries.enable("hook")
        refusals[6:] = [True, False]
        drained(delivery_)
        assert deliveries.state("hook").disabled is None


def test_the_pause_that_a_service_requests_is_kept_by_all(
    indicators: IndicatorCache, deliveries: Deliveries, redis_client: redis.Redis
) -> None:
    with service(lambda number: (429, {}, b'{"retry_after": 600}') if number == 0 else OK) as hook:
        raise_alerts(indicators, range(1, 4), ("hook",))
        carriers = [delivery(deliveries, hook.url) for _ in range(3)]
        assert [c.drain("hook") for c in carriers] == [0, 0, 0]
        assert len(hook.got) == 1
        assert 0 < deliveries.state("hook").paused_ms <= 600_000
        redis_client.hset(keys.deliveries("hook", "state"), "paused_until_ms", 0)
        drained(carriers[0])
    assert AlertCache(deliveries._client).newest(1, lambda _: True)[0][0].said["hook", "raised"]["tries"] == 1


def test_another_target_enables_a_disabled_channel(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    with service(lambda _: (401, {}, b"")) as old, service() as new:
        raise_alerts(indicators, [1], ("hook",))
        delivery(deliveries, old.url).drain("hook")
        assert delivery(deliveries, old.url).drain("hook") == 0
        assert len(old.got) == 1
        assert delivery(deliveries, new.url).drain("hook") == 1
    assert deliveries.state("hook").disabled is None


def test_a_message_that_is_refused_does_not_stop_the_others(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    with service(lambda n: (400, {}, b"") if n == 1 else OK) as hook:
        ids = raise_alerts(indicators, range(1, 4), ("hook",))
        drained(delivery(deliveries, hook.url))
    assert hook.accepted == [f"{ids[0]}|raised", f"{ids[2]}|raised"]
    (refused,) = AlertCache(deliveries._client).read([ids[1]])
    assert refused.said["hook", "raised"]["state"] == "refused: the service answered 400"


def test_a_withdrawal_is_sent_once_and_only_after_its_alert(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    with service() as hook:
        delivery_ = delivery(deliveries, hook.url)
        first, second = raise_alerts(indicators, [1, 2], ("hook",))
        assert delivery_.drain("hook") == 2
        raise_alerts(indicators, [2, 3], ("hook",), revision=10)  # the first is withdrawn
        raise_alerts(indicators, [2], ("hook",), revision=20)  # and the third, before it was sent
        for revision in (30, 40, 50):
            raise_alerts(indicators, [2], ("hook",), revision=revision)
        drained(delivery_)
        raise_alerts(indicators, [1, 2, 3], ("hook",), revision=60)  # all hold again
        drained(delivery_)
        raise_alerts(indicators, [2], ("hook",), revision=70)
        drained(delivery_)
    third = fact(3)["id"]
    assert hook.accepted == [
        f"{first}|raised",
        f"{second}|raised",
        f"{first}|withdrawn",
        f"{first}|restored",
        f"{third}|raised",
    ]
    assert [a.withdrawn is None for a in AlertCache(deliveries._client).read([first, second, third])] == [
        False,
        True,
        False,
    ]


def test_messages_of_a_dead_worker_are_sent_when_its_claim_expires(
    indicators: IndicatorCache, deliveries: Deliveries, redis_client: redis.Redis
) -> None:
    ids = raise_alerts(indicators, range(1, 4), ("hook",))
    lost = deliveries.claim("hook", at_once=1, lease_s=600, target="x")
    assert lost
    assert lost.alert.id == ids[0]
    assert deliveries.claim("hook", at_once=1, lease_s=600, target="x") is None, "one at a time"
    redis_client.zincrby(keys.deliveries("hook", "claimed"), -600_000, f"raised|{ids[0]}")
    with service() as hook:
        drained(delivery(deliveries, hook.url))
    assert sorted(hook.accepted) == [f"{i}|raised" for i in ids]
    deliveries.settle(lost, "sent")
    assert deliveries.state("hook").waiting == 0


def test_a_message_is_given_up_after_its_tries(
    indicators: IndicatorCache, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "MAX_TRIES", 3)
    monkeypatch.setattr(delivery_module, "FIRST_BACKOFF_S", 0.02)
    raise_alerts(indicators, [1], ("hook",))
    with service(lambda _: (500, {}, b"")) as hook:
        drained(delivery(deliveries, hook.url))
        assert len(hook.got) == 3
    assert deliveries.state("hook").dropped == 1


def test_alerts_beyond_the_bound_are_dropped_oldest_first(redis_client: redis.Redis, deliveries: Deliveries) -> None:
    bounded = IndicatorCache(redis_client, events_kept=100, alerts_kept=5)
    ids = raise_alerts(bounded, range(1, 21), ("hook",))
    assert [a.id for a in AlertCache(redis_client).newest(100, lambda _: True)[0]] == ids[:14:-1]
    assert deliveries.waiting(["hook"]) == {"hook": 5}
    assert len(list(redis_client.scan_iter(keys.alert("*")))) == 5


def test_no_secret_is_ever_shown(
    indicators: IndicatorCache, deliveries: Deliveries, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    raise_alerts(indicators, range(1, 9), ("hook",))
    answers: list[Answer] = [(500, {}, SECRET.encode()), (404, {}, SECRET.encode()), (302, {"Location": SECRET}, b"")]
    with service(lambda n: answers[n % 3]) as hook:
        for _ in range(3):
            delivery(deliveries, f"{hook.url}/{SECRET}?{SECRET}").drain("hook")
            deliveries.enable("hook")
    for url in (f"http://127.0.0.1:9/{SECRET}", f"https://127.0.0.1:9/{SECRET}", f"http://no.invalid/{SECRET}", SECRET):
        delivery(deliveries, url).drain("hook")
        deliveries.enable("hook")
    private = FILE.replace("allow_private = true", "")
    assert delivery(deliveries, f"http://10.0.0.1/{SECRET}", private).drain("hook") == 0
    stored = b"".join(redis_client.dump(key) or b"" for key in redis_client.scan_iter("*"))
    ours = "\n".join(r.getMessage() + str(r.exc_text) for r in caplog.records if r.name.startswith("app"))
    assert "not sent" in ours
    assert SECRET not in ours
    assert SECRET.encode() not in stored


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]/x", "http://10.1.2.3", "http://169.254.169.254/"],
)
def test_a_private_address_is_refused_before_anything_is_sent(url: str) -> None:
    settings = alert_settings(FILE.replace("allow_private = true", ""))
    channel = build_channels(settings, {"HOOK_URL": url, "HOOK_SECRET": SECRET}.get)["hook"]
    assert isinstance(channel, MisconfiguredChannel)
    assert "private address" in channel.reason


def test_a_name_that_leads_to_a_private_address_is_refused_when_it_is_connected_to(
    indicators: IndicatorCache, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service() as hook:
        there = socket.getaddrinfo("127.0.0.1", hook.port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: there)
        raise_alerts(indicators, [1], ("hook",))
        url = f"http://looks-harmless.example:{hook.port}/"
        assert delivery(deliveries, url, FILE.replace("allow_private = true", "")).drain("hook") == 0
        assert hook.got == []
    assert "private address" in str(deliveries.state("hook").disabled)


@pytest.fixture
def start_worker(processes: Callable[..., Process], redis_url: str, tmp_path: Path) -> Callable[[str], Process]:
    (tmp_path / "candlewick.toml").write_text(QUICK)

    def start(url: str) -> Process:
        env = {
            "REDIS_URL": redis_url,
            "CANDLEWICK_CONFIG": str(tmp_path / "candlewick.toml"),
            "HOOK_URL": url,
            "HOOK_SECRET": SECRET,
            "CANDLEWICK_LOG_LEVEL": "DEBUG",
        }
        command = [sys.executable, "-m", "workers", "worker", "-Q", "alerts", "-P", "threads"]
        command += ["-c", "4", "-n", f"alerts{time.monotonic_ns()}@%h", "--without-gossip", "--without-mingle"]
        return processes(command, env=env)

    return start


def test_workers_killed_at_any_moment_lose_nothing(
    start_worker: Callable[[str], Process],
    indicators: IndicatorCache,
    deliveries: Deliveries,
    tasks: Tasks,
) -> None:
    def slowly(number: int) -> Answer:
        time.sleep(0.05)  # the response time of a service, so that a kill hits a message in progress
        return (429, {"Retry-After": "0.2"}, b"") if number % 17 == 5 else OK

    products = [Series("coinbase", f"P{n}-USD", Timeframe.M5) for n in range(10)]
    with service(slowly) as hook:
        workers = [start_worker(f"{hook.url}/{SECRET}") for _ in range(2)]
        ids = [i for s in products for i in raise_alerts(indicators, range(1, 11), ("hook",), series=s)]
        kills = 0

        def swept() -> bool:
            nonlocal kills
            tasks.deliver()
            if kills < 3 and len(hook.got) > 20 * (kills + 1):
                kills += 1
                workers[kills % 2].send(signal.SIGKILL)
                workers[kills % 2] = start_worker(f"{hook.url}/{SECRET}")
            return not any(deliveries.waiting(["hook"]).values())

        eventually(swept, interval=0.3)
        assert kills == 3
    messages = [f"{i}|raised" for i in ids]
    assert sorted(set(hook.accepted)) == sorted(messages)
    doubled = len(hook.accepted) - len(messages)
    assert doubled <= 4 * kills, "at most what was under way at a kill"
    assert SECRET not in "".join(w.output() for w in workers)

"""Old alerts are sent as one message to channels for people, newest first; machines receive each alert."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from app.delivery.channels.build import build_channels
from app.delivery.delivery import Delivery
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alerts import AlertCache
from app.storage.deliveries import Claim, Deliveries
from app.storage.indicators import IndicatorCache
from tests.alerting import B0, OK, SERIES, Answer, Torn, alert_settings, raise_alerts, service
from tests.support import eventually

pytestmark = pytest.mark.integration

FILE = """
[alerts.channel.discord]
url_env = "URL"
chart = false
allow_private = true
[alerts.channel.webhook]
url_env = "URL"
allow_private = true
[alerts.channel.telegram]
token_env = "TOKEN"
chat = "1"
api_url = "{url}"
chart = false
allow_private = true
"""
NIGHT = range(1, 100)
"""Bars of 5m: more than eight hours."""
MORNING_S = B0 + 300 * 100


def delivery(deliveries: Deliveries, url: str, exchange_s: Callable[[], float | None] = lambda: MORNING_S) -> Delivery:
    settings = alert_settings(FILE.format(url=url))
    channels = build_channels(settings, {"URL": f"{url}/x", "TOKEN": "1:x"}.get)
    return Delivery(deliveries, channels, settings.delivery, lambda _: None, exchange_s)


def states(deliveries: Deliveries, ids: list[str], channel: str) -> set[str]:
    read = AlertCache(deliveries._client).read(ids)
    assert len(read) == len(ids)
    return {alert.said.get((channel, "raised"), {}).get("state") for alert in read}


def test_after_a_night_old_alerts_are_one_message_and_new_ones_are_single(
    indicators: IndicatorCache, deliveries: Deliveries
) -> None:
    ids = raise_alerts(indicators, NIGHT, ("discord",))
    with service() as hook:
        assert delivery(deliveries, hook.url).drain("discord") == len(ids)
    digests = [got.body for got in hook.got if b"alerts of " in got.body]
    assert len(digests) == 1
    assert len(hook.got) == 1 + 4, "a quarter of an hour is news"
    body = digests[0].split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
    (embed,) = orjson.loads(body)["embeds"]
    assert embed["title"] == "95 alerts of 2021-03-04 00:10:00 to 2021-03-04 08:00:00 UTC"
    first, second, *_, last = embed["description"].split("\n")
    assert first == "2021-03-04 08:00:00  BTC-USD: MACD-V crossed below -150 (5m)"
    assert second.startswith("2021-03-04 07:55:00  ")
    assert last == "and 55 older ones"
    assert states(deliveries, ids, "discord") == {"sent"}
    assert deliveries.state("discord").done == len(ids)


def test_old_is_counted_in_bars_of_their_own_timeframe(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    day = Series(SERIES.exchange, SERIES.product, Timeframe.D1)
    raise_alerts(indicators, [0, 1], ("telegram",), series=day)
    with service() as hook:
        now_s = B0 + 2 * 86_400 + 9 * 3_600
        assert delivery(deliveries, hook.url, lambda: now_s).drain("telegram") == 2
    assert len(hook.got) == 2, "the bar of yesterday is nine hours old, and the newest"


def test_a_single_old_alert_is_sent_like_any_other(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    raise_alerts(indicators, [1], ("telegram",))
    with service() as hook:
        assert delivery(deliveries, hook.url).drain("telegram") == 1
    assert b"alerts of" not in hook.got[0].body


def test_machines_get_each_alert(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    ids = raise_alerts(indicators, range(1, 20), ("webhook",))
    with service() as hook:
        assert delivery(deliveries, hook.url).drain("webhook") == len(ids)
    assert sorted(hook.accepted) == sorted(f"{i}|raised" for i in ids)


def test_without_the_exchange_s_time_nothing_is_old(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    raise_alerts(indicators, range(1, 4), ("telegram",))
    with service() as hook:
        assert delivery(deliveries, hook.url, lambda: None).drain("telegram") == 3
    assert len(hook.got) == 3


def test_withdrawn_alerts_are_not_in_it(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    raise_alerts(indicators, range(1, 9), ("telegram",))
    kept = raise_alerts(indicators, range(1, 5), ("telegram",), revision=3)
    raise_alerts(indicators, [8], (), revision=5)  # withdraws 1 to 7
    with service() as hook:
        delivery(deliveries, hook.url).drain("telegram")
    assert hook.got == [] or all(b"5 alerts" not in got.body for got in hook.got)
    assert states(deliveries, kept, "telegram") == {"withdrawn before it was sent"}


@pytest.mark.parametrize("refusal", [(500, {}, b""), (429, {"Retry-After": "0"}, b"")])
def test_a_refused_digest_waits_whole_and_is_sent_once(
    refusal: Answer, indicators: IndicatorCache, deliveries: Deliveries
) -> None:
    ids = raise_alerts(indicators, range(1, 30), ("telegram",))
    with service(lambda number: OK if number else refusal) as hook:
        delivery_ = delivery(deliveries, hook.url)
        assert delivery_.drain("telegram", max_s=0.0) == 0
        delivery_.drain("telegram")
        state = deliveries.state("telegram")
        if refusal[0] == 500:
            assert (state.waiting, state.claimed, state.failures) == (len(ids), 0, 1)
            assert state.trouble == "the service answered 500"
        deliveries.enable("telegram")
        delivery_.drain("telegram")
    assert len(hook.got) == 2
    assert states(deliveries, ids, "telegram") == {"sent"}


@pytest.mark.parametrize("lost", [(500, {}, b""), (408, {}, b""), Torn(b"")])
def test_withdrawn_alerts_of_a_digest_that_may_have_arrived_are_taken_back(
    lost: Answer | Torn, indicators: IndicatorCache, deliveries: Deliveries
) -> None:
    ids = raise_alerts(indicators, range(1, 9), ("telegram",))
    with service(lambda number: OK if number else lost) as hook:
        delivery_ = delivery(deliveries, hook.url)
        delivery_.drain("telegram")
        deliveries.enable("telegram")
        raise_alerts(indicators, [8], (), revision=3)
        eventually(lambda: delivery_.drain("telegram") == 0 and not delivery_.waiting())
    withdrawn = AlertCache(deliveries._client).read(ids[:-1])
    assert {alert.said["telegram", "raised"]["state"] for alert in withdrawn} == {"sent"}
    assert {alert.said["telegram", "withdrawn"]["state"] for alert in withdrawn} == {"sent"}


@pytest.mark.parametrize("refusal", [(404, {}, b""), (429, {"Retry-After": "60"}, b"")])
def test_a_channel_is_stopped_before_the_rest_of_a_digest_waits_again(
    refusal: Answer, indicators: IndicatorCache, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another worker would claim them and send at once."""
    ids = raise_alerts(indicators, range(1, 9), ("discord",))
    deferred = []
    again = Deliveries.defer

    def seen(self: Deliveries, claim: Claim, reason: str, after_s: float) -> None:
        state = self.state(claim.channel)
        deferred.append((claim.alert.id, bool(state.disabled or state.paused_ms)))
        again(self, claim, reason, after_s)

    monkeypatch.setattr(Deliveries, "defer", seen)
    with service(lambda _: refusal) as hook:
        delivery(deliveries, hook.url).drain("discord")
        assert len(hook.got) == 1
    assert sorted(i for i, is_stopped in deferred if is_stopped) == sorted(ids[1:])


def test_a_channel_that_is_broken_keeps_them_all(indicators: IndicatorCache, deliveries: Deliveries) -> None:
    ids = raise_alerts(indicators, range(1, 30), ("discord",))
    with service(lambda _: (404, {}, b"")) as hook:
        assert delivery(deliveries, hook.url).drain("discord") == 0
    state = deliveries.state("discord")
    assert (state.waiting, state.claimed, state.disabled) == (len(ids), 0, "the service answered 404")

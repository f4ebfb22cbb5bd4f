"""The next claimed message of a channel, on a real Redis."""

from __future__ import annotations

import pytest
import redis

from app.storage import keys
from app.storage.deliveries import Deliveries

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000


class Channel:
    """A channel with messages of alerts; `claim` returns the next one."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.deliveries = Deliveries(client)

    def wait(self, *messages: str) -> None:
        """Store alerts and their waiting messages (`kind|identity`), the first one first."""
        for order, message in enumerate(messages):
            self._client.zadd(keys.deliveries("hook", "waiting"), {message: order})
            row = {"data": b"{}", "event": "up", "raised_ms": 1}
            self._client.hset(keys.alert(message.partition("|")[2]), mapping=row)  # type: ignore[arg-type]

    def claim(self, *, at_once: int = 9, lease_s: float = 60, target: str = "here") -> str | None:
        claim = self.deliveries.claim("hook", at_once=at_once, lease_s=lease_s, target=target)
        return f"{claim.kind}|{claim.alert.id}" if claim else None

    @property
    def waiting(self) -> list[bytes]:
        return self._client.zrange(keys.deliveries("hook", "waiting"), 0, -1)  # type: ignore[no-any-return]


@pytest.fixture
def channel(redis_client: redis.Redis) -> Channel:
    return Channel(redis_client)


def test_each_message_is_claimed_once_and_in_batches(channel: Channel) -> None:
    channel.wait("raised|a", "raised|b", "raised|c")
    assert [channel.claim(at_once=2) for _ in range(3)] == ["raised|a", "raised|b", None]
    assert [channel.claim() for _ in range(2)] == ["raised|c", None]


def test_messages_of_one_alert_are_sent_in_order(channel: Channel) -> None:
    channel.wait("restored|a", "withdrawn|a", "raised|a", "withdrawn|b")
    assert [channel.claim() for _ in range(3)] == ["raised|a", "withdrawn|b", None]


def test_messages_of_deleted_alerts_are_dropped(channel: Channel, redis_client: redis.Redis) -> None:
    channel.wait("raised|a", "raised|b")
    redis_client.delete(keys.alert("a"))
    assert channel.claim() == "raised|b"
    assert channel.waiting == []


def test_expired_claims_and_claims_from_the_future_are_free(channel: Channel, redis_client: redis.Redis) -> None:
    now_ms = int(redis_client.time()[0]) * 1000
    for until_ms, is_free in ((now_ms - 1, True), (now_ms + 3 * HOUR_MS, True), (now_ms + HOUR_MS, False)):
        channel.wait("raised|a")
        redis_client.delete(keys.deliveries("hook", "waiting"))
        redis_client.zadd(keys.deliveries("hook", "claimed"), {"raised|a": until_ms})
        assert (channel.claim() is not None) is is_free


def test_a_channel_that_is_disabled_or_pauses_has_no_message(channel: Channel, redis_client: redis.Redis) -> None:
    channel.wait("raised|a", "raised|b")
    channel.deliveries.disable("hook", "why", "here")
    assert channel.claim() is None
    assert channel.claim(target="elsewhere") == "raised|a", "it has other settings now"
    channel.deliveries.enable("hook")
    now_ms, state = int(redis_client.time()[0]) * 1000, keys.deliveries("hook", "state")
    redis_client.hset(state, "paused_until_ms", now_ms + HOUR_MS)
    assert channel.claim() is None
    redis_client.hset(state, "paused_until_ms", now_ms + 3 * HOUR_MS)
    assert channel.claim() == "raised|b", "no pause is so long: it is of a clock that was set back"

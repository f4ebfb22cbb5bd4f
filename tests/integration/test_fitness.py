"""An unsuitable Redis is named, and the installation is not ready on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from app.context import Context
from app.query.status import read_status
from app.storage.fitness import ServerFacts, read_facts, unfit
from tests import filled

pytestmark = pytest.mark.integration


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:
    yield Context(filled.settings(redis_url), redis_client)
    redis_client.config_set("maxmemory-policy", "noeviction")


def test_a_server_that_evicts_is_not_ready(context: Context) -> None:
    assert list(unfit(read_facts(context.redis))) == []
    context.redis.config_set("maxmemory-policy", "allkeys-lru")
    status = read_status(context, context.settings)
    assert not status.ready
    assert "Redis may evict candles (maxmemory-policy allkeys-lru): set it to noeviction" in status.summary


def test_a_user_without_info_rights_gets_a_status_that_reports_it(context: Context, redis_url: str) -> None:
    context.redis.acl_setuser(
        "few", enabled=True, passwords=["+x"], keys=["*"], channels=["*"], commands=["+@all", "-info"]
    )
    try:
        url = redis_url.replace("://", "://few:x@", 1)
        few = Context(filled.settings(url))
        assert any("allow its user +info" in reason for reason in read_status(few, few.settings).reasons)
        few.redis.close()
    finally:
        context.redis.acl_deluser("few")


@pytest.mark.parametrize(
    ("info", "part"),
    [
        ({"redis_version": "7.2", "redis_mode": "cluster"}, "runs as a cluster"),
        ({"redis_version": "7.2", "dragonfly_version": "df-1"}, "Dragonfly is not Redis"),
    ],
)
def test_a_cluster_or_dragonfly_is_named(info: dict[str, str], part: str) -> None:
    (problem,) = unfit(ServerFacts.from_info(info))
    assert part in problem

"""Celery's settings against a real Redis: queues of tasks, and treatment of mistakes."""

from __future__ import annotations

import runpy
import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from celery.exceptions import QueueNotFound

from app.util.monotonic_schedule import every, steady_now
from tests.support import ROOT

pytestmark = pytest.mark.integration


def _settings() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "celeryconfig.py"))


@pytest.fixture
def sender(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    monkeypatch.setenv("REDIS_URL", redis_url)
    with Celery("test", set_as_current=False) as app:
        app.config_from_object(SimpleNamespace(**_settings()))
        yield app


@pytest.mark.parametrize("queue", ["indicators", "backfill", "reconcile", "alerts", "default"])
def test_a_task_waits_in_its_own_queue_and_no_other(sender: Celery, redis_client: redis.Redis, queue: str) -> None:
    sender.send_task("any", queue=queue)
    lists = list(redis_client.scan_iter(_type="list"))
    assert lists == [f"cw:2:celery:{queue}".encode()]


def test_every_key_has_the_one_prefix(sender: Celery, redis_client: redis.Redis) -> None:
    sender.send_task("workers.indicators.update")
    assert redis_client.llen("cw:2:celery:indicators") == 1
    assert len(list(redis_client.scan_iter("cw:2:celery:*"))) == redis_client.dbsize()


def test_a_mistyped_queue_fails(sender: Celery) -> None:
    with pytest.raises(QueueNotFound):
        sender.send_task("any", queue="indicator")


def test_beat_continues_when_the_machines_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, began = every(600), steady_now()
    for hours in (-5, 5):
        monkeypatch.setattr(time, "time", lambda hours=hours: began.timestamp() + hours * 3600)
        due, wait_s = schedule.is_due(steady_now())
        assert not due
        assert 0 < wait_s <= 600
        assert schedule.is_due(began - timedelta(seconds=600)).is_due


def test_redis_on_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "unix:///run/redis.sock?db=2")
    assert _settings()["broker_url"] == "redis+socket:///run/redis.sock?virtual_host=2"

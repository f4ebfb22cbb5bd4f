"""A Celery application with this project's settings, and tasks whose effects ours must survive. For test_traps.py."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import cache

from celery import Celery
from redis import Redis
from redis.exceptions import RedisError

from app.settings import Settings
from workers import heartbeat
from workers.app import ONCE_MORE

heartbeat.STUCK_S = float(os.environ.get("STUCK_S", heartbeat.STUCK_S))

app = Celery("traps")
app.config_from_object("celeryconfig")
if "IMPATIENT" in os.environ:  # seconds instead of ten minutes, so that a test sees its end
    visibility = {"visibility_timeout": float(os.environ["IMPATIENT"])}
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **visibility}
AS_OURS = {**ONCE_MORE, "max_retries": 1}
"""Celery takes seconds to notice a lost child: one more try is enough to see that tries end."""


@cache
def _redis() -> Redis:
    return Redis.from_url(Settings.from_environment().redis_url)


@app.task(name="traps.run", **AS_OURS)
def run(name: str) -> int:
    """Record each run and its end. The first run waits for `go:<name>`; later ones end at once."""
    is_first = _redis().rpush(f"ran:{name}", os.getpid()) == 1
    while is_first and not _is_there(f"go:{name}"):
        time.sleep(0.02)
    _redis().rpush(f"done:{name}", os.getpid())
    return os.getpid()


def _is_there(key: str) -> bool:
    with suppress(RedisError):
        return bool(_redis().exists(key))
    return False


@app.task(name="traps.poison", **AS_OURS)
def poison() -> None:
    """Kill the process that runs it."""
    _redis().rpush("ran:poison", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="traps.hoard", **AS_OURS)
def hoard(megabytes: int) -> None:
    """Use much memory once."""
    _redis().rpush("ran:hoard", os.getpid())
    assert (b"x" * megabytes * 1_000_000).endswith(b"x")

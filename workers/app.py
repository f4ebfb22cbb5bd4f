"""The Celery application. Its tasks are thin: each validates its arguments and calls into `app`."""

from __future__ import annotations

import gc
import logging
import signal
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import celeryd_after_setup, setup_logging, worker_before_create_process, worker_process_init
from redis.exceptions import RedisError

from app import logs
from app.context import Context
from app.storage.transport import share

log = logging.getLogger(__name__)

app = Celery(
    "candlewick",
    fixups=[],  # a Django project in the current folder is not ours
    include=["workers.indicators", "workers.backfill", "workers.alerts", "workers.heartbeat", "workers.memory"],
)
app.config_from_object(import_module("celeryconfig"))  # by its name, Celery takes one in the current folder

ONCE_MORE = {"max_retries": 3, "default_retry_delay": 0}
"""Options of each task: how it is retried if the process that ran it exits. At once: a delay is sent as a time of this
host's clock, and a host whose clock is behind would hold the task until then.
"""


@cache
def context() -> Context:
    """This process' settings and stores. A forked child makes its own connections."""
    return Context.from_environment()


share(app, context().redis)


@setup_logging.connect
def _log_as_everybody(**_: Any) -> None:
    logs.configure(context().settings, "worker")


@celeryd_after_setup.connect
def _apply_the_file(**_: Any) -> None:
    for why in context().settings.unfollowed():
        log.warning("%s", why)
    with suppress(RedisError):  # the heartbeat tries again
        context().rules.announce()


@worker_before_create_process.connect
def _share_memory_with_the_child(**_: Any) -> None:
    gc.freeze()  # else its first full collection writes to every object, and each child copies 20 MB


@worker_process_init.connect
def _leave_stopping_to_the_parent(**_: Any) -> None:
    # A supervisor may signal the whole process group; a child that exits would lose its task.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

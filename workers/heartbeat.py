"""Heartbeat of a worker. A worker that receives no task although tasks wait, or that does not stop, kills itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

from billiard.process import active_children
from celery.signals import task_received, worker_ready, worker_shutting_down
from redis.exceptions import RedisError

from app.storage.heartbeats import Heartbeat
from app.tasks import waiting_in
from workers.app import context

log = logging.getLogger(__name__)

STUCK_S = 35.0
"""Longer than any task may take, including one whose request to the exchange hangs."""

CHECK_EVERY_S = 2.0


class Consumption:
    """Whether a worker receives its waiting tasks. Pure; times are monotonic."""

    def __init__(self, now_s: float) -> None:
        self.received_s = now_s
        self._waiting_since_s: float | None = None

    def is_stuck(self, waiting: int, now_s: float) -> bool:
        """`waiting`: tasks in its queues now."""
        if not waiting:
            self._waiting_since_s = None
        elif self._waiting_since_s is None:
            self._waiting_since_s = now_s
        since_s = self._waiting_since_s
        return since_s is not None and now_s - max(since_s, self.received_s) > STUCK_S


_consumption = Consumption(time.monotonic())


@task_received.connect
def _note(**_: Any) -> None:
    _consumption.received_s = time.monotonic()


@worker_shutting_down.connect
def _bound_the_stop(**_: Any) -> None:
    # Without Redis, Celery may wait for itself: the thread that sends events keeps a lock that stopping needs, too.
    signal.setitimer(signal.ITIMER_REAL, STUCK_S)


@worker_ready.connect
def _watch_over(sender: Any, **_: Any) -> None:
    queues = [queue.name for queue in sender.task_consumer.queues]
    threading.Thread(target=_watch, args=(queues,), name="heartbeat", daemon=True).start()


def _watch(queues: list[str]) -> None:
    heartbeat = Heartbeat(context().redis, f"worker {'+'.join(queues)}")
    while True:
        try:
            context().rules.announce()
            waiting = sum(waiting_in(context().redis, name) for name in queues)
            if _consumption.is_stuck(waiting, time.monotonic()):
                _end(waiting)
            heartbeat.beat()
        except RedisError:
            _consumption.is_stuck(0, time.monotonic())  # nothing could be received
        time.sleep(CHECK_EVERY_S)


def _end(waiting: int) -> None:
    """Like a power cut: the broker redelivers the tasks it holds, and its supervisor restarts it."""
    log.critical("%d tasks wait, and none was received for %d s: killed; its supervisor restarts it", waiting, STUCK_S)
    for child in active_children():
        os.kill(child.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

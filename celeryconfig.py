"""Celery's settings, each with its reason.

Redis can lose or repeat a task if a process exits at the wrong moment, so tasks are idempotent and the scan finds
lost work; the settings below keep both rare.
"""

from __future__ import annotations

import sys

from kombu.entity import Exchange, Queue

from app.settings import Settings
from app.storage import keys
from app.storage.address import broker_of
from app.storage.name import name_of
from app.util.monotonic_schedule import every


def _queue(name: str) -> Queue:
    """A queue that receives only messages sent to it by name."""
    return Queue(name, Exchange(name, type="direct"), routing_key=name)  # type: ignore[no-untyped-call]


def _every(seconds: float, task: str, queue: str) -> dict[str, object]:
    """A beat entry. Its interval is real time, even if the machine's clock is set."""
    return {"task": task, "schedule": every(seconds), "options": {"queue": queue}}


# Broker
broker_url, _broker_options, broker_use_ssl = broker_of(Settings.from_environment().redis)
broker_transport = "app.storage.transport:" + (
    "SentinelTransport" if broker_url.startswith("sentinel://") else "Transport"
)  # few connections; disconnects from a server that became a replica
broker_connection_retry_on_startup = True  # workers may start before Redis
broker_connection_max_retries = None  # reconnects after any outage
broker_transport_options = {
    **_broker_options,
    "global_keyprefix": keys.CELERY,  # one prefix for all keys: shared servers, access rules
    "visibility_timeout": 600,  # redelivers a killed worker's tasks; above every time limit and countdown
    "unacked_restore_interval": 5,  # checks for such tasks every 5 s
    "unacked_restore_throttle": 1,  # at each check, not every tenth
    "socket_timeout": 10,  # a publish to a frozen Redis fails instead of blocking
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "client_name": name_of(sys.argv),
    "health_check_interval": 25,  # finds half-open connections
}

# Messages
task_serializer = "json"
accept_content = ["json"]  # never pickle: a message cannot run code
result_accept_content = ["json"]
timezone = "UTC"
enable_utc = True

# Queues
task_queues = [_queue(name) for name in keys.QUEUES]
task_default_queue = "default"
task_default_exchange = "default"
task_default_routing_key = "default"
task_create_missing_queues = False  # a mistyped queue fails loudly
task_routes = {
    "workers.indicators.*": {"queue": "indicators"},
    "workers.backfill.*": {"queue": "backfill"},
    "workers.reconcile.*": {"queue": "reconcile"},
    "workers.alerts.*": {"queue": "alerts"},
}

# Publishing
task_publish_retry = True
task_publish_retry_policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1}  # 0.6 s

# Running
task_ignore_result = True  # results are in the cache; storing them costs a fifth of the throughput
task_acks_late = True  # with a prefetch of 1, no task is stranded if Redis restarts
worker_prefetch_multiplier = 1
task_reject_on_worker_lost = False  # would rerun a task that kills its process without limit
task_retry_on_worker_lost = True  # bounded by the task's max_retries
task_soft_time_limit = 60  # below the visibility timeout
task_time_limit = 90  # threads ignore the hard limit: their work has its own time-outs
worker_cancel_long_running_tasks_on_connection_loss = False  # would strand their messages
worker_soft_shutdown_timeout = 3  # with REMAP_SIGTERM=SIGQUIT: unfinished tasks then return to the queue, none is lost
worker_disable_rate_limits = True  # Celery's limit counts per worker and stalls; the request budget is in Redis
worker_max_tasks_per_child = 10_000  # insurance against leaks; a low number halves the throughput
worker_max_memory_per_child = 400_000  # KiB; same reason
worker_eta_task_limit = 1_000  # bounds delayed tasks in memory

# Events, for Flower. They add a third to each task's cost, but tasks are batches, so few
worker_send_task_events = True
task_send_sent_event = False  # costs half of a publish; Flower needs only the others

# Beat. Tasks check the exchange's clock for whether they are due: several beats have the effect of one
beat_scheduler = "workers.beat:BoundedScheduler"  # by a monotonic clock; skips full queues
beat_enable_remote_control = True  # `celery inspect ping -d celerybeat@host` is a true liveness probe
beat_schedule = {
    "scan": _every(5, "workers.backfill.scan", "backfill"),
    "reconcile": _every(5, "workers.backfill.reconcile", "reconcile"),
    "drain": _every(2, "workers.backfill.drain", "backfill"),
    "deliver": _every(3, "workers.alerts.deliver", "alerts"),
}

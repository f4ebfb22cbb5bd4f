"""Celery's settings, each with its reason: `app.config_from_object("celeryconfig")`.

Redis can lose or repeat a task when a process dies at the wrong moment, so tasks are idempotent and the scan finds
what the queue lost; the settings below keep both rare.
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
    """A queue that receives what is sent to it by name, and nothing else."""
    return Queue(name, Exchange(name, type="direct"), routing_key=name)  # type: ignore[no-untyped-call]


def _every(seconds: float, task: str, queue: str) -> dict[str, object]:
    """A beat entry. Its interval is real time, whatever happens to the machine's clock."""
    return {"task": task, "schedule": every(seconds), "options": {"queue": queue}}


# Broker
broker_url, _broker_options, broker_use_ssl = broker_of(Settings.from_environment().redis)
broker_transport = "app.storage.transport:" + (
    "SentinelTransport" if broker_url.startswith("sentinel://") else "Transport"
)  # few connections; leaves a server that has become a replica
broker_connection_retry_on_startup = True  # workers may start before Redis
broker_connection_max_retries = None  # an outage of any length ends by itself
broker_transport_options = {
    **_broker_options,
    "global_keyprefix": keys.CELERY,  # one prefix for this program's keys: shared servers, access rules
    "visibility_timeout": 600,  # a killed worker's tasks come back after this; above every time limit and countdown
    "unacked_restore_interval": 5,  # looks for such tasks every 5 s
    "unacked_restore_throttle": 1,  # and each time it looks, not every tenth
    "socket_timeout": 10,  # a publish to a frozen Redis fails instead of waiting for ever
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
task_ignore_result = True  # what a task finds is in the cache; a stored result costs a fifth of the throughput
task_acks_late = True  # with a prefetch of 1 nothing is stranded when Redis restarts
worker_prefetch_multiplier = 1
task_reject_on_worker_lost = False  # would run a task that kills its process for ever
task_retry_on_worker_lost = True  # this one is bounded by the task's max_retries
task_soft_time_limit = 60  # below the visibility timeout
task_time_limit = 90  # threads ignore the hard limit: their work has time-outs of its own
worker_cancel_long_running_tasks_on_connection_loss = False  # would strand their messages
worker_soft_shutdown_timeout = 3  # with REMAP_SIGTERM=SIGQUIT: what is not done by then is handed back, nothing is lost
worker_disable_rate_limits = True  # Celery's limit counts per worker and stalls; the request budget is in Redis
worker_max_tasks_per_child = 10_000  # insurance against leaks; a low number halves the throughput
worker_max_memory_per_child = 400_000  # KiB; the same
worker_eta_task_limit = 1_000  # bounds delayed tasks in memory

# Events: what Flower shows. They cost a third per task, and tasks are batches, so few
worker_send_task_events = True
task_send_sent_event = False  # costs half of a publish and tells Flower nothing more

# Beat. The tasks ask the exchange's clock whether their time has come, and only one of several beats is heard
beat_scheduler = "workers.beat:BoundedScheduler"  # by a clock that nobody sets, never onto a pile
beat_enable_remote_control = True  # `celery inspect ping -d celerybeat@host` is a true liveness probe
beat_schedule = {
    "scan": _every(5, "workers.backfill.scan", "backfill"),
    "reconcile": _every(5, "workers.backfill.reconcile", "reconcile"),
    "drain": _every(2, "workers.backfill.drain", "backfill"),
    "deliver": _every(3, "workers.alerts.deliver", "alerts"),
}

"""Known traps of Celery on Redis: each test fails without the setting that avoids its trap.

Properties of every task of ours are tested on tasks made for the test, in `tests/traps.py`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psutil
import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from app.storage.queue import LEASE_S
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port
from workers.heartbeat import STUCK_S

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.8)]

WORKER = [sys.executable, "-m", "celery", "-A", "tests.traps", "worker", "--without-gossip", "--without-mingle"]
OF_CELERY = "cw:2:celery:"


class Traps(NamedTuple):
    """A Redis of its own, and workers that started together: two with a thread, one with a child process."""

    server: RedisServer
    client: redis.Redis
    sender: Celery
    start: Callable[..., Process]
    threads: list[Process]
    prefork: Process

    def send(self, task: str, queue: str, *arguments: object) -> None:
        self.sender.send_task(f"traps.{task}", arguments, queue=queue)

    def ran(self, name: str) -> list[int]:
        """The processes that ran it, in order."""
        return [int(pid) for pid in self.client.lrange(f"ran:{name}", 0, -1)]

    def sync(self) -> None:
        """Return when all writes are on the disk: a killed server may lose its last second."""
        with self.client.client() as one:
            one.set("go:synced", 1)
            assert one.waitaof(1, 0, 60_000)[0] == 1


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traps]:
    folder = tmp_path_factory.mktemp("traps")
    with RedisServer(folder, free_port()) as server:
        started: list[Process] = []

        def start(name: str, *options: str, **env: str) -> Process:
            env = {"REDIS_URL": server.url, "REMAP_SIGTERM": "SIGQUIT", **env}
            started.append(Process([*WORKER, "-n", f"{name}@%h", *options], folder / f"{name}.log", env=env))
            return started[-1]

        threads = [start(f"threads{n}", "-Q", "default", "-P", "threads", "-c", "1") for n in (1, 2)]
        prefork = start("prefork", "-Q", "indicators", "-P", "prefork", "-c", "1")
        try:
            with redis.Redis.from_url(server.url) as client, Celery("test", set_as_current=False) as sender:
                sender.config_from_object("celeryconfig")
                sender.conf.broker_url = server.url
                eventually(lambda: all(" ready" in w.output() for w in (*threads, prefork)))
                yield Traps(server, client, sender, start, threads, prefork)
        finally:
            for worker in started:
                worker.end()


def is_idle(traps: Traps) -> bool:
    """No task is waiting or running."""
    queues = sum(int(traps.client.llen(f"{OF_CELERY}{name}")) for name in ("default", "indicators"))
    return not queues and not traps.client.hlen(f"{OF_CELERY}unacked")


# --- workers whose tasks are threads


def test_workers_continue_when_redis_comes_back_and_run_each_task_once(traps: Traps) -> None:
    """Needs late acknowledgement and a prefetch of 1.

    If Redis is back before a worker has noticed the loss and closed its connection, Celery redelivers that worker's
    task to another one. Hence the worker must try to reconnect first.
    """
    names = [f"restart{n}" for n in range(6)]
    for name in names:
        traps.send("run", "default", name)
    eventually(lambda: sum(len(traps.ran(n)) for n in names) == 2)
    traps.sync()
    traps.server.kill()
    eventually(lambda: all("consumer: Cannot connect to" in w.output() for w in traps.threads))
    traps.server.start()
    for name in names:
        eventually(lambda name=name: traps.client.set(f"go:{name}", 1))
    eventually(lambda: all(traps.ran(n) for n in names) and is_idle(traps))
    assert [len(traps.ran(n)) for n in names] == [1] * 6


def test_results_do_not_pile_up(traps: Traps) -> None:
    names = [f"result{n}" for n in range(20)]
    for name in names:
        traps.client.set(f"go:{name}", 1)
        traps.send("run", "default", name)
    eventually(lambda: all(traps.ran(n) for n in names) and is_idle(traps))
    known = {"_kombu", "unacked", "unacked_index", "unacked_mutex"}
    left = {
        key.decode()
        for key in traps.client.scan_iter("*")
        if not key.startswith((b"ran:", b"done:", b"go:", b"cw:2:heartbeats", b"cw:2:processes", b"cw:2:rules"))
    }
    assert {key.removeprefix(OF_CELERY).partition(".")[0] for key in left} <= known


def test_the_task_of_a_worker_that_was_killed_comes_back(traps: Traps) -> None:
    with traps.sender.connection_for_read() as connection:
        channel = connection.default_channel
        assert channel.unacked_restore_interval * channel.unacked_restore_throttle == 5, "seconds between two searches"
    impatient = traps.start("impatient", "-Q", "backfill", "-P", "threads", "-c", "1", IMPATIENT="1")
    traps.client.set("go:begun", 1)
    traps.send("run", "backfill", "begun")
    eventually(lambda: traps.ran("begun"))  # so it has searched once, as each worker does at its start
    traps.send("run", "default", "killed")
    (pid,) = eventually(lambda: traps.ran("killed"))
    psutil.Process(pid).kill()
    eventually(lambda: len(traps.ran("killed")) == 2 and is_idle(traps))
    impatient.end()
    assert traps.ran("killed")[1] != pid


def test_sending_to_a_redis_that_does_not_answer_ends(traps: Traps) -> None:
    """Needs a timeout of the socket; here an existing one is shortened."""
    with Celery("impatient", set_as_current=False) as sender:
        sender.config_from_object("celeryconfig")
        sender.conf.broker_url = traps.server.url
        options = sender.conf.broker_transport_options
        sender.conf.broker_transport_options = {**options, "socket_timeout": options["socket_timeout"] / 40}
        sender.send_task("traps.run", ["frozen"], queue="reconcile")
        os.kill(traps.server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(OperationalError):
                sender.send_task("traps.run", ["frozen"], queue="reconcile")
        finally:
            os.kill(traps.server.pid, signal.SIGCONT)


# --- workers whose tasks are child processes


def test_a_task_that_kills_its_process_is_retried_only_once(traps: Traps) -> None:
    """Needs a retry if a worker is lost, instead of requeueing the message."""
    traps.send("poison", "indicators")
    eventually(lambda: len(traps.ran("poison")) == 2)
    traps.client.set("go:after", 1)
    traps.send("run", "indicators", "after")
    eventually(lambda: traps.ran("after") and is_idle(traps))
    assert len(set(traps.ran("poison"))) == len(traps.ran("poison")) == 2


def test_a_child_that_uses_too_much_memory_is_replaced(traps: Traps) -> None:
    traps.send("hoard", "indicators", 500)
    eventually(lambda: traps.ran("hoard"))
    traps.client.set("go:fresh", 1)
    traps.send("run", "indicators", "fresh")
    eventually(lambda: traps.ran("fresh"))
    assert traps.ran("hoard") != traps.ran("fresh")


def test_a_stalled_worker_exits_and_its_tasks_are_redelivered(traps: Traps) -> None:
    """Supervisor, or another one, restarts it."""
    worker = traps.start("stuck", "-Q", "alerts", "-P", "prefork", "-c", "1", STUCK_S="1")
    traps.send("run", "alerts", "held")
    (pid,) = eventually(lambda: traps.ran("held"))
    traps.send("run", "alerts", "waits")
    os.kill(pid, signal.SIGSTOP)
    assert worker.wait() == -signal.SIGKILL
    eventually(lambda: not psutil.pid_exists(pid))
    assert "none was received" in worker.output()
    assert traps.client.llen(f"{OF_CELERY}alerts") + traps.client.hlen(f"{OF_CELERY}unacked") >= 2


UNSTOPPABLE = """
import time
from celery.signals import worker_shutting_down
from tests import traps
worker_shutting_down.send(sender="worker")
time.sleep(600)
"""


def test_a_worker_that_cannot_stop_ends_itself(processes: Callable[..., Process]) -> None:
    """As without Redis: Celery may then wait for itself."""
    worker = processes([sys.executable, "-c", UNSTOPPABLE], env={"STUCK_S": "0.1"})
    assert worker.wait() == -signal.SIGALRM


def test_a_signal_to_the_whole_group_lets_a_task_end(traps: Traps) -> None:
    """As supervisors and terminals send it: the parent waits a little for its child."""
    assert_it_ends_its_task(traps, traps.prefork, "indicators")


def test_a_signal_to_the_whole_group_lets_a_task_end_without_remap(traps: Traps) -> None:
    """Celery alone would end the parent well, and the child in the middle."""
    options = ("-Q", "backfill", "-P", "prefork", "-c", "1")
    assert_it_ends_its_task(traps, traps.start("plain", *options, REMAP_SIGTERM=""), "backfill")


def assert_it_ends_its_task(traps: Traps, worker: Process, queue: str) -> None:
    traps.send("run", queue, f"stopped {queue}")
    eventually(lambda: traps.ran(f"stopped {queue}"))
    os.killpg(worker.pid, signal.SIGTERM)
    traps.client.set(f"go:stopped {queue}", 1)  # too late for a child killed by the signal
    assert worker.wait() == 0
    assert [int(pid) for pid in traps.client.lrange(f"done:stopped {queue}", 0, -1)] == traps.ran(f"stopped {queue}")


# --- limits and settings


def test_no_task_takes_so_long_that_the_broker_redelivers_it() -> None:
    from workers.app import app

    app.loader.import_default_modules()
    longest_s = max(app.conf.task_time_limit, LEASE_S, STUCK_S)
    assert app.conf.broker_transport_options["visibility_timeout"] > 5 * longest_s
    ours = [task for name, task in app.tasks.items() if name.startswith("workers.")]
    assert len(ours) >= 5
    assert all(task.max_retries and not task.default_retry_delay for task in ours), "a delay is of one host's clock"
    assert not any(task.rate_limit for task in ours)


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("broker_connection_max_retries", lambda value: value is None),  # 100 of them end a worker after 46 minutes
        ("broker_connection_retry_on_startup", lambda value: value is True),
        ("worker_cancel_long_running_tasks_on_connection_loss", lambda value: value is False),
        ("worker_max_tasks_per_child", lambda value: 1_000 <= value <= 100_000),
        ("worker_eta_task_limit", lambda value: 0 < value <= 10_000),
        ("result_backend", lambda value: value is None),
    ],
)
def test_settings_for_long_runs(name: str, holds: Callable[[object], bool]) -> None:
    from workers.app import app

    assert holds(app.conf[name])

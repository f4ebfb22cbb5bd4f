"""Kills stalled processes of this host, so that their supervisor restarts them."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

from app.context import Context
from app.storage.heartbeats import EVERY_S, Heartbeat, ProcessRecord, is_own_process, process_records
from app.util.stop import Stop

log = logging.getLogger(__name__)

STALL_S = 30.0
"""Real seconds without a new heartbeat after which a process counts as stalled."""

CHECK_EVERY_S = 2.0


class StallDetector:
    """Finds heartbeats that have stopped. Pure; times are monotonic."""

    def __init__(self) -> None:
        self._moved: dict[tuple[int, str], tuple[int, float]] = {}

    def forget(self) -> None:
        """Start over: heartbeats could not be written or read until now."""
        self._moved.clear()

    def stalled(self, seen: Iterable[ProcessRecord], now_s: float) -> list[ProcessRecord]:
        """The records in `seen` that have stalled for too long. One that stays is reported again after as long."""
        before, self._moved, still = self._moved, {}, []
        for mark in seen:
            name = mark.pid, mark.started
            beats, since_s = before.get(name, (-1, now_s))
            is_stalled = beats == mark.beats and now_s - since_s > STALL_S
            self._moved[name] = (mark.beats, since_s if beats == mark.beats and not is_stalled else now_s)
            if is_stalled:
                still.append(mark)
        return still


class Watchdog:
    def __init__(self, client: Redis) -> None:
        self._client = client
        self._heartbeat = Heartbeat(client, "watchdog")
        self._stalls = StallDetector()

    def run(self, stop: Stop) -> None:
        """Check until `stop` is set."""
        while not stop.wait(CHECK_EVERY_S):
            try:
                self._heartbeat.beat()  # if this fails, others could not write theirs either
                for mark in self._stalls.stalled(process_records(self._client), time.monotonic()):
                    _end(mark)
            except RedisError as error:
                log.warning("cannot check processes while Redis is unavailable: %s", error)
                self._stalls.forget()


def check_once(client: Redis) -> bool:
    """Whether this host has processes and each of them makes progress. Waits for a heartbeat of each, and kills those
    without one. True if Redis is unavailable, because then no process can store its heartbeat.
    """
    try:
        before = {(mark.pid, mark.started): mark.beats for mark in process_records(client)}
        until_s = time.monotonic() + STALL_S
        while still := [m for m in process_records(client) if before.get((m.pid, m.started)) == m.beats]:
            if time.monotonic() > until_s:
                for mark in still:
                    _end(mark)
                return False
            time.sleep(EVERY_S)
    except RedisError as error:
        log.warning("cannot check processes while Redis is unavailable: %s", error)
        return True
    if not before:
        log.error("no process of this host has stored a heartbeat")
    return bool(before)


def _end(mark: ProcessRecord) -> None:
    if mark.pid == os.getpid():
        return
    if not is_own_process(mark.pid):
        log.error(
            "%s: pid %d is a foreign process, not killed: check which programs write to Redis", mark.role, mark.pid
        )
        return
    log.error("%s (pid %d) made no progress for %d s: killed; its supervisor restarts it", mark.role, mark.pid, STALL_S)
    with suppress(ProcessLookupError):
        os.kill(mark.pid, signal.SIGKILL)


def main(context: Context, *, once: bool = False) -> int:
    """Watch the processes of this host until SIGTERM or SIGINT. `once`: check them, with exit code 1 if one stalled."""
    if once:
        return 0 if check_once(context.redis) else 1
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("watching the processes of this host")
    Watchdog(context.redis).run(stop)
    log.info("stopped")
    return 0

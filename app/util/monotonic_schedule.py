"""Schedules by a clock that nobody sets."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from celery import schedules

_STARTED, _STARTED_S = datetime.now(UTC), time.monotonic()


def every(seconds: float) -> schedules.schedule:
    """Every so many seconds of real time, whatever happens to the machine's clock meanwhile."""
    return schedules.schedule(seconds, nowfun=steady_now)


def steady_now() -> datetime:
    """The time of the machine when this process began, and what has passed since."""
    return _STARTED + timedelta(seconds=time.monotonic() - _STARTED_S)

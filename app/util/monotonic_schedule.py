"""Celery schedules by the monotonic clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from celery import schedules

_STARTED, _STARTED_S = datetime.now(UTC), time.monotonic()


def every(seconds: float) -> schedules.schedule:
    """Every `seconds` of real time, even if the machine's clock is set."""
    return schedules.schedule(seconds, nowfun=steady_now)


def steady_now() -> datetime:
    """The machine's time when this process began, plus the real time since."""
    return _STARTED + timedelta(seconds=time.monotonic() - _STARTED_S)

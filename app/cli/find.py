"""Which installation a command reads: the one that is named, that REDIS_URL points at, or that runs here."""

from __future__ import annotations

import os
from pathlib import Path

from redis.exceptions import RedisError

from app.errors import Unready
from app.launch import installations
from app.settings import Settings
from app.storage import keys
from app.storage.connection import connect


def find(wanted: str | None) -> None:
    """Put the settings of the installation into the environment of this process, which every part of it reads.

    Errors as in `installations.find`; also `Unready` if nothing runs, and the default Redis holds no data of ours.
    """
    settings = Settings.from_environment()
    if wanted is None and ("redis_url",) in settings.reading.origins:
        return
    found = installations.find(wanted, Path.cwd())
    if found:
        os.environ.update(found.settings)
    elif not _has_processes(settings.redis.url):
        raise Unready(
            "no running installation was found: start one with `candlewick demo` or `candlewick run`, or set REDIS_URL "
            "to the Redis of one that runs elsewhere"
        )


def _has_processes(url: str) -> bool:
    """Whether a process of ours has written to the Redis at `url`."""
    try:
        with connect(url, timeout_s=1, tries=0) as client:
            return bool(client.exists(keys.PROCESSES))
    except RedisError:
        return False

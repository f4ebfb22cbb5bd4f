"""`candlewick reload`: puts the rules and channels of the file into force, in a running installation."""

from __future__ import annotations

import sys

from app.alerts.in_force import publish
from app.settings import Settings
from app.storage.connection import connect
from app.storage.rules import RuleStore, When


def reload() -> str:
    """Apply the file; returns what to print. Raises `InvalidInput` if any setting is wrong: then nothing changes."""
    settings = Settings.from_environment()
    for why in settings.unfollowed():
        print(f"warning: {why}", file=sys.stderr)
    with connect(settings.redis.url) as client:
        version = publish(RuleStore(client), settings.alerts, When.ALWAYS).version
    return f"reloaded: {settings.alerts.counted}, version {version}. Other settings need a restart"

"""`candlewick reload`: puts the rules and channels of the file into force, in a running installation."""

from __future__ import annotations

import sys

from app.alerts.in_force import publish
from app.context import Context
from app.storage.rules import RuleStore, When


def reload(context: Context) -> str:
    """Apply the file; returns what to print."""
    settings = context.settings
    for why in settings.unfollowed():
        print(f"warning: {why}", file=sys.stderr)
    version = publish(RuleStore(context.redis), settings.alerts, When.ALWAYS).version
    return f"reloaded: {settings.alerts.counted}, version {version}. Other settings need a restart"

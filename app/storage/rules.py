"""The alert rules and channels in force: one text for the whole installation, and its version.

The script that stores an evaluation checks its version. So all processes change to new rules at one moment.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from redis import Redis

from app.storage import keys
from app.storage.scripts import script


class When(StrEnum):
    """When a publication replaces what is in force."""

    ALWAYS = "always"
    CHANGED = "changed"
    MISSING = "missing"


class RulesText(NamedTuple):
    version: str
    text: str


class RuleStore:
    def __init__(self, client: Redis) -> None:
        self._client = client
        self._publish = script(client, "publish_rules")

    def version(self) -> str:
        """The version in force; empty if none was published."""
        return (self._client.hget(keys.RULES, "version") or b"").decode()  # type: ignore[union-attr]

    def publish(self, text: str, when: When) -> RulesText:
        """Put `text` into force, depending on `when`; returns what is in force then."""
        version, in_force = self._publish(keys=[keys.RULES], args=[text, when])
        return RulesText(version.decode(), in_force.decode())

"""The alert rules and channels in force: those last published, by the start of a process or by `reload`."""

from __future__ import annotations

import logging
from typing import NamedTuple

from pydantic import ValidationError
from redis import Redis

from app.alerts.settings import AlertSettings
from app.storage.rules import RulesText, RuleStore, When

log = logging.getLogger(__name__)


class InForce(NamedTuple):
    """Rules and channels, never half of them. `version`: that of their publication."""

    version: str
    settings: AlertSettings


class RulesInForce:
    """Reads what is in force. A process needs `own`, the settings of its file, only to begin."""

    def __init__(self, client: Redis, own: AlertSettings) -> None:
        self._store = RuleStore(client)
        self._own = own
        self._last = InForce("", own)
        self._is_announced = False

    def announce(self) -> None:
        """Put this process' own settings into force, once, if others are: a restart applies a changed file."""
        if not self._is_announced:
            self._last = self._parsed(publish(self._store, self._own, When.CHANGED))
            self._is_announced = True

    def read(self) -> InForce:
        """What is in force now. If Redis lost it, that is again what was in force before."""
        if self._store.version() != self._last.version or not self._last.version:
            self._last = self._parsed(publish(self._store, self._last.settings, When.MISSING))
        return self._last

    def _parsed(self, stored: RulesText) -> InForce:
        """`stored`, parsed; of another release's text that this one cannot read, nothing changes but the version."""
        if stored.version == self._last.version:
            return self._last
        try:
            settings = AlertSettings.model_validate_json(stored.text)
        except ValidationError:
            log.error("alert rules of version %s cannot be read by this release: keeping the last ones", stored.version)
            return InForce(stored.version, self._last.settings)
        if self._last.version:
            log.info("%s, version %s", settings.counted, stored.version)
        return InForce(stored.version, settings)


def publish(store: RuleStore, settings: AlertSettings, when: When) -> RulesText:
    """Put `settings` into force, depending on `when`; returns what is in force then."""
    return store.publish(settings.model_dump_json(by_alias=True), when)

"""Shared parts of every process: settings, Redis, and the stores on it."""

from __future__ import annotations

import logging
import threading
from functools import cached_property
from typing import Self

from redis import Redis

from app.alerts.evaluate import Evaluator
from app.alerts.settings import AlertSettings
from app.backfill.rest import BudgetedRest
from app.exchange.adapter import ExchangeRest
from app.exchange.registry import venue
from app.settings import Settings
from app.storage.connection import connect
from app.storage.stores import Stores
from app.tasks import Tasks

log = logging.getLogger(__name__)


class Context(Stores):
    """Stores of a process, and services built on them; one per process."""

    def __init__(self, settings: Settings, client: Redis | None = None) -> None:
        super().__init__(
            client or connect(settings.redis.url, connections=settings.redis_connections),
            "coinbase",
            capacity=settings.series_capacity,
            events_kept=settings.events_kept,
            requests_per_second=settings.rest_requests_per_second,
        )
        self.settings = settings
        self._of_thread = threading.local()

    @classmethod
    def from_environment(cls) -> Self:
        """Raises `InvalidInput` if a setting, or the alerts file, is wrong."""
        settings = Settings.from_environment()
        AlertSettings.load(settings.alerts_file)
        return cls(settings)

    @cached_property
    def alert_settings(self) -> AlertSettings:
        """The rules and channels of the alerts file. Logs rules about products or timeframes that are not followed."""
        settings = AlertSettings.load(self.settings.alerts_file)
        for problem in settings.never(self.settings.products, self.settings.timeframes):
            log.warning("%s: %s: it will never raise an alert for that", self.settings.alerts_file, problem)
        return settings

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.candles, self.alerts, self.alert_settings, self.settings.timeframes)

    @cached_property
    def budgeted_rest(self) -> BudgetedRest:
        """The exchange's REST within the request budget."""
        return BudgetedRest(lambda: self.rest, self.budget, self.redis)

    @cached_property
    def tasks(self) -> Tasks:
        """Sends tasks to the workers."""
        return Tasks(self.redis, self.exchange)

    @property
    def rest(self) -> ExchangeRest:
        """The exchange's REST, with one HTTP session for each thread."""
        if not hasattr(self._of_thread, "rest"):
            settings = self.settings
            self._of_thread.rest = venue(self.exchange).rest(settings.exchange_rest_url, settings.rest_timeout_seconds)
        rest: ExchangeRest = self._of_thread.rest
        return rest

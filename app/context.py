"""Shared parts of every process: settings, Redis, and the stores on it."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Self

from redis import Redis

from app.alerts.evaluate import Evaluator
from app.alerts.in_force import RulesInForce
from app.backfill.rest import BudgetedRest
from app.exchange.adapter import ExchangeRest
from app.exchange.registry import venue
from app.settings import Settings
from app.storage.connection import connect
from app.storage.stores import Stores
from app.tasks import Tasks

if TYPE_CHECKING:
    from app.delivery.service import Delivering


class Context(Stores):
    """Stores of a process, and services built on them; one per process."""

    def __init__(self, settings: Settings, client: Redis | None = None) -> None:
        super().__init__(
            client or connect(settings.redis.url, connections=settings.redis_connections),
            settings.exchanges[0],
            capacity=settings.series_capacity,
            events_kept=settings.events_kept,
            requests_per_second=settings.exchange(settings.exchanges[0]).rest_requests_per_second,
        )
        self.settings = settings
        self._of_thread = threading.local()

    @classmethod
    def from_environment(cls) -> Self:
        """Raises `InvalidInput` if a setting is wrong."""
        return cls(Settings.from_environment())

    @cached_property
    def rules(self) -> RulesInForce:
        """The alert rules and channels in force."""
        return RulesInForce(self.redis, self.settings.alerts)

    @cached_property
    def delivering(self) -> Delivering:
        """Delivery by the channels in force."""
        from app.delivery.service import Delivering  # most processes deliver nothing

        return Delivering(self, self.rules, self.settings.reading.secrets.get)

    def evaluator(self) -> Evaluator:
        """Evaluates the rules in force now."""
        version, settings = self.rules.read()
        return Evaluator(self.candles, self.alerts, settings, self.settings.timeframes, version)

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
            url, timeout_s = self.settings.exchange(self.exchange).rest_url, self.settings.rest_timeout_seconds
            self._of_thread.rest = venue(self.exchange).rest(url, timeout_s)
        rest: ExchangeRest = self._of_thread.rest
        return rest

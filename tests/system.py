"""The whole system as real processes, for tests: Redis, ingest, workers and beat against a local exchange."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping

from app.context import Context
from app.series import Series
from app.settings import Settings
from tests.support import Process, eventually

PYTHON = sys.executable
WORKER = ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]


class System:
    """Processes of one installation. `start` gives each a name, `kill` ends one of them without asking."""

    def __init__(self, start: Callable[..., Process], redis_url: str, env: Mapping[str, str]) -> None:
        self._start = start
        self.env = {"REDIS_URL": redis_url, **env}
        self.context = Context(Settings.from_environment(self.env))
        self.processes: dict[str, Process] = {}

    def start(self, *names: str) -> None:
        """Start processes: ingest, indicators, backfill, alerts, beat, web, watchdog, flower; `ingest2` is another."""
        for name in names:
            command = self._command(name.rstrip("0123456789"), name)
            self.processes[name] = self._start(command, env=self.env)

    def start_all(self) -> None:
        self.start("ingest", "indicators", "backfill", "alerts", "beat")

    def _command(self, kind: str, name: str) -> list[str]:
        celery = [PYTHON, "-m", "celery", "-A", "workers.app:app"]
        match kind:
            case "ingest" | "web" | "watchdog" | "flower":
                return [PYTHON, "-m", "app", kind]
            case "indicators":
                celery = ["env", "REMAP_SIGTERM=SIGQUIT", *celery]
                return [*celery, "worker", "-Q", "indicators", "-c", "1", "-n", f"{name}@%h", *WORKER]
            case "backfill":
                queues = ["-Q", "backfill,reconcile", "-P", "threads", "-c", "4"]
                return [*celery, "worker", *queues, "-n", f"{name}@%h", *WORKER]
            case "alerts":
                queues = ["-Q", "alerts", "-P", "threads", "-c", "4"]
                return [*celery, "worker", *queues, "-n", f"{name}@%h", *WORKER]
            case "beat":
                return [*celery, "beat", "--schedule", os.devnull]
        raise ValueError(f"no process is called {name}")

    def knows_every_series(self, products: int) -> bool:
        """Whether every followed series was asked for once."""
        followed = self.context.products.delivered()
        many = [Series("coinbase", p, t) for p in followed for t in self.context.settings.timeframes]
        views = self.context.candles.read_many([(s, 0, 0) for s in many])
        return len(followed) >= products and all(v.origin_s for v in views)

    def has_started(self, products: int) -> bool:
        """Whether every followed series was asked for once, and nothing is left to ask at once."""
        queue = self.context.queue.state()
        return self.knows_every_series(products) and not queue.ready and not queue.leased

    def now_s(self) -> float:
        """The exchange's time as the system knows it."""
        clock = self.context.clock.read()
        return clock.exchange_s if clock else 0.0

    def wait_until(self, exchange_s: float, timeout: float = 120.0) -> None:
        """Until the system's clock has passed `exchange_s`."""
        eventually(lambda: self.now_s() >= exchange_s, timeout=timeout, interval=0.1)

    def logs(self, names: Iterable[str] | None = None) -> str:
        return "\n".join(f"--- {n}\n{self.processes[n].output()[-4000:]}" for n in names or self.processes)

"""The whole system as real processes, for tests: those of the Procfile against a local exchange."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from app.context import Context
from app.launch import procfile
from app.market.series import Series
from app.settings import Settings
from tests.support import ROOT, Process, eventually

PROCFILE = procfile.read(ROOT / "Procfile")


class System:
    """Processes of one installation, started by name with `start`."""

    def __init__(
        self,
        start: Callable[..., Process],
        redis_url: str,
        env: Mapping[str, str],
        *,
        shares: int = 1,
        of_process: Callable[[str], Mapping[str, str]] = lambda _: {},
    ) -> None:
        """`shares`: number of parts into which the ingests `ingest`, `ingest2` … divide the products. `of_process`:
        more environment for a process of that name.
        """
        self._of_process = of_process
        self._start = start
        self._shares = shares
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.env = {"PATH": path, "CANDLEWICK_INDICATOR_PROCESSES": "1", "REDIS_URL": redis_url, **env}
        self.context = Context(Settings.from_environment(self.env))
        self.processes: dict[str, Process] = {}

    def start(self, *names: str) -> None:
        """Start processes: ingest, indicators, backfill, alerts, beat, web, watchdog, flower; `ingest2` is another."""
        for name in names:
            share = (
                {"CANDLEWICK_INGEST_SHARE": f"{name.removeprefix('ingest') or 1}/{self._shares}"}
                if self._shares > 1
                else {}
            )
            more = {**(share if name.startswith("ingest") else {}), **self._of_process(name)}
            self.processes[name] = self._start(self.command(name), env={**self.env, **more})

    def command(self, name: str) -> list[str]:
        """The command of `name`: its line of the Procfile."""
        kind = name.rstrip("0123456789")
        line = PROCFILE[kind].replace(f"-n {kind}@", f"-n {name}@")  # or Celery takes two for one
        return ["sh", "-c", f"exec {line}"]

    def start_all(self) -> None:
        self.start("ingest", "indicators", "backfill", "alerts", "beat")

    def knows_every_series(self, products: int) -> bool:
        """Whether every followed series was requested once; `AssertionError` with those that were not."""
        followed = self.context.products.delivered()
        assert len(followed) >= products, f"only {followed} are followed"
        many = [Series("coinbase", p, t) for p in followed for t in self.context.settings.timeframes]
        views = self.context.candles.read_many([(s, 0, 0) for s in many])
        unknown = [str(series) for series, view in zip(many, views, strict=True) if not view.revision]
        assert not unknown, f"never requested: {unknown}"
        return True

    def has_started(self, products: int) -> bool:
        """Whether every followed series was requested once and no request is due; `AssertionError` with the rest."""
        queue = self.context.queue.state()
        assert self.knows_every_series(products)
        assert not queue.ready, queue
        assert not queue.leased, queue
        return True

    def now_s(self) -> float:
        """The exchange's time as the system knows it."""
        clock = self.context.clock.read()
        return clock.exchange_s if clock else 0.0

    def wait_until(self, exchange_s: float) -> None:
        """Wait until the system's clock has passed `exchange_s`."""
        eventually(lambda: self.now_s() >= exchange_s, interval=0.1)

    def logs(self, names: Iterable[str] | None = None) -> str:
        return "\n".join(f"--- {n}\n{self.processes[n].output()[-4000:]}" for n in names or self.processes)

"""The judge of a run with faults: cache, indicators, alerts, request budget, and whether every part still works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import requests

from app.context import Context
from tests.faults.alert_verdict import AlertJudge
from tests.faults.ledger import busiest_second, refused
from tests.faults.world import World
from tests.oracle import followed, wrong_candles, wrong_indicators
from tests.support import PATIENCE_S

SLACK_S = 1_800
"""Exchange time from the reconciliation that finds something to its end, including a second covering response."""

BROKER_PREFIX = "cw:2:celery:"

FEW = 20
"""Tasks that may be waiting in an ordinary market."""

IDLE_S = 300.0
"""Real seconds within which queues must be empty and parts must work, once the truth is there."""

ALERTS_S = 18_000
"""Exchange time within which alerts must be delivered, once the truth is there: five real minutes."""


@dataclass(frozen=True)
class Verdict:
    """The result. Only `to_truth_s` (real seconds from the end of the last fault) may be other than empty or 0."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    throttled: int = 0
    busiest: int = 0
    budget: int = 5
    to_truth_s: float = 0.0

    @property
    def broken(self) -> list[str]:
        lines = [*self.lost, *self.wrong, *self.alerts, *self.stuck]
        if self.throttled:
            lines.append(f"{self.throttled} responses of 429 that were not injected")
        if self.busiest > self.budget:
            lines.append(f"{self.busiest} requests in the busiest second")
        return lines


def judge(world: World) -> Verdict:
    """Wait until everything that is over now is true, at most until each timeframe was compared with REST."""
    ended, end_s = time.monotonic(), world.exchange.now_s()
    problems = _until_none(lambda: _untrue(world, end_s), world, end_s + _round_s(world) + SLACK_S)
    to_truth_s = time.monotonic() - ended
    true_s = world.exchange.now_s()
    alerts = _until_none(AlertJudge(world, end_s, true_s).problems, world, true_s + ALERTS_S)
    until = time.monotonic() + IDLE_S
    while (stuck := _stuck(world)) and time.monotonic() < until:
        time.sleep(0.3)
    ledger = world.exchange.get("/local/ledger")
    return Verdict(
        lost=[p for p in problems if "missing" in p],
        wrong=[p for p in problems if "missing" not in p],
        alerts=alerts,
        stuck=stuck,
        throttled=refused(ledger)[0],
        busiest=busiest_second(ledger),
        to_truth_s=to_truth_s,
    )


def _round_s(world: World) -> float:
    """Exchange time in which every timeframe is compared with REST: 5m each time, the longer ones in turn."""
    settings = world.system.context.settings
    return max(1, len(settings.timeframes) - 1) * settings.reconcile_seconds


def _until_none(check: Callable[[], Iterator[str]], world: World, until_s: float) -> list[str]:
    """What `check` still finds at `until_s` (exchange time)."""
    while True:
        try:
            is_last = world.exchange.now_s() > until_s
            problems = list(check() if is_last else islice(check(), 1))
        except Exception as error:  # Redis may just be restarting
            problems = [f"cannot check: {type(error).__name__}: {error}"]
        if not problems or is_last:
            return problems
        time.sleep(0.3)


def _untrue(world: World, end_s: float) -> Iterator[str]:
    system, timeframes = world.system, world.system.context.settings.timeframes
    products = followed(system, world.exchange)
    if not products:
        yield "the configuration means no product"
    yield from wrong_candles(system, world.exchange, products, timeframes, end_s)
    yield from wrong_indicators(system, world.exchange, products, timeframes, end_s)


def _stuck(world: World) -> list[str]:
    """Parts that still do not work although the data are right."""
    dead = [f"{n} does not run" for n, p in world.system.processes.items() if p.returncode is not None]
    try:
        return [
            *dead,
            *_unstreamed(world),
            *_not_set_apart(world),
            *_waiting(world.system.context),
            *_unready(world.system.context.settings.web_port),
        ]
    except Exception as error:
        return [*dead, f"cannot check: {type(error).__name__}: {error}"]


def _unstreamed(world: World) -> list[str]:
    """Products without a subscription, according to the exchange."""
    meant = set(followed(world.system, world.exchange).values())
    return [f"no subscription to {product}" for product in sorted(meant - world.exchange.streamed())]


def _not_set_apart(world: World) -> list[str]:
    """Delisted products that are still followed."""
    meant = followed(world.system, world.exchange)
    known = world.system.context.products.read()
    return [
        f"{p.product} was delisted, and is not set apart" for p in known if p.product not in meant and not p.refused
    ]


def _waiting(context: Context) -> Iterator[str]:
    requests = context.queue.state()
    if requests.ready or requests.leased:
        yield f"backfill requests remain: {requests}"
    for name in ("indicators", "backfill", "reconcile", "alerts"):
        if (tasks := int(context.redis.llen(f"{BROKER_PREFIX}{name}"))) > FEW:
            yield f"{tasks} tasks wait in {name}"
    if waiting := sum(context.deliveries.waiting(["hook"]).values()):
        yield f"{waiting} alerts wait to be sent"


def _unready(port: int) -> Iterator[str]:
    answer = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S)
    if answer.status_code != 200:
        yield f"/readyz: {answer.text[:300]}"

"""Tasks that find and fetch missing candles."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery.signals import worker_shutting_down

from app.backfill.service import Backfill
from app.util.stop import Stop
from workers.app import ONCE_MORE, app, context
from workers.arguments import ScanWork, Work, parsed

_stopping = Stop()


@worker_shutting_down.connect
def _let_go(**_: Any) -> None:
    # A thread cannot be killed: it stops after the page that it is requesting.
    _stopping.set()


@cache
def _backfill() -> Backfill:
    return Backfill(context(), context().settings, context().budgeted_rest, context().tasks)


@app.task(name="workers.backfill.scan", **ONCE_MORE)
def scan(**arguments: Any) -> None:
    """Scan for missing buckets, if a scan is due on the exchange's clock."""
    work: ScanWork = parsed(ScanWork, arguments)
    _backfill().scan(now=work.now)


@app.task(name="workers.backfill.reconcile", **ONCE_MORE)
def reconcile(**arguments: Any) -> None:
    """Queue a comparison with REST, if one is due on the exchange's clock."""
    work: ScanWork = parsed(ScanWork, arguments)
    _backfill().reconcile(now=work.now)


@app.task(name="workers.backfill.drain", **ONCE_MORE)
def drain(**arguments: Any) -> None:
    """Work on the backfill queue until nothing in it is due."""
    parsed(Work, arguments)
    _backfill().drain(stop=_stopping)

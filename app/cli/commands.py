"""One function per command: each reads data, prints it, and returns the exit code."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TypeVar

from app import logs
from app.cli import NOT_READY, OK
from app.cli.find import find
from app.context import Context
from app.errors import Unready
from app.launch.places import own_environment
from app.market.series import Series
from app.query.lookup import Lookup
from app.util.numbers import plain_json

T = TypeVar("T")


def run(arguments: Namespace) -> int:
    """Run the given command; its errors are raised."""
    if "installation" in arguments:
        find(arguments.installation)
    context = Context.from_environment()
    if arguments.command in ("doctor", "ingest", "web", "watchdog"):
        logs.configure(context.settings, arguments.command)
    return COMMANDS[arguments.command](context, arguments)


def status(context: Context, arguments: Namespace) -> int:
    from app.cli import tables
    from app.query.status import read_status

    if arguments.watch:
        from app.cli.watch import watch_status

        watch_status(context)
        return OK
    state = read_status(context, context.settings)
    _show(state.model_dump(mode="json"), arguments, lambda _: tables.status(state))
    return OK if state.ready else NOT_READY


def _lookup(context: Context) -> Lookup:
    return Lookup(context, context.settings.timeframes)


def _delivered(context: Context, arguments: Namespace) -> Series:
    """The series that `arguments` name. Raises `NotFollowed` if the exchange refuses its product."""
    lookup = _lookup(context)
    series = lookup.series(arguments.product, arguments.timeframe)
    lookup.check_delivered(series)
    return series


def products(context: Context, arguments: Namespace) -> int:
    from app.cli import tables

    answer = _lookup(context).products()
    _show(answer, arguments, tables.products)
    return OK if answer["products"] else NOT_READY


def candles(context: Context, arguments: Namespace) -> int:
    from app.cli import tables

    answer = _lookup(context).candles(
        arguments.product,
        arguments.timeframe,
        start_s=arguments.start,
        end_s=arguments.end,
        limit=arguments.limit,
    )
    _show(answer, arguments, tables.candles)
    return OK


def indicators(context: Context, arguments: Namespace) -> int:
    from app.cli import tables

    answer = _lookup(context).indicators(arguments.product, arguments.timeframe, limit=arguments.limit)
    _show(answer, arguments, tables.indicators)
    return OK if answer["ready"] else NOT_READY


def watch(context: Context, arguments: Namespace) -> int:
    from app.cli.watch import watch_series

    watch_series(context, _delivered(context, arguments), as_json=arguments.json)
    return OK


def export(context: Context, arguments: Namespace) -> int:
    from app.cli.export import export

    lookup = _lookup(context)
    series = lookup.series(arguments.product, arguments.timeframe)
    count = export(lookup, series, arguments)
    print(f"{series}: {count} candles", file=sys.stderr)
    return OK


def gaps(context: Context, arguments: Namespace) -> int:
    """Candles that are missing at the exchange's time, and the requests for them."""
    from app.backfill.scan import Scanner
    from app.cli import tables

    clock = context.clock.read()
    found = Scanner(context, context.settings).scan(clock.exchange_ms) if clock else []
    missing = [
        {"product": f.series.product, "timeframe": f.series.timeframe, "buckets": f.buckets} for f in found if f.buckets
    ]
    answer = {
        "exchange_ms": clock.exchange_ms if clock else None,
        "missing": missing,
        "pending": [r._asdict() for r in sorted(context.queue.pending())],
        "failures": [{**r._asdict(), **failure} for r, failure in sorted(context.queue.failures().items())],
    }
    _show(answer, arguments, tables.gaps)
    return OK


def backfill(context: Context, arguments: Namespace) -> int:
    from app.cli.backfill import backfill

    return OK if backfill(context, _delivered(context, arguments), arguments.days) else NOT_READY


def alerts(context: Context, arguments: Namespace) -> int:
    from app.cli import alerts, tables

    if arguments.action == "test":
        logs.configure(context.settings, arguments.command)
        print(alerts.test(context, arguments.channel))
    elif arguments.action == "enable":
        print(alerts.enable(context, arguments.channel))
    else:
        _show(alerts.listed(context, arguments), arguments, tables.alerts)
    return OK


def reconcile(context: Context, _: Namespace) -> int:
    from app.backfill.service import Backfill

    queued = Backfill(context, context.settings, context.budgeted_rest, context.tasks).reconcile(now=True)
    if not queued:
        raise Unready("there is nothing to compare yet: no products, or no exchange time received")
    print(f"{queued} requests queued; `candlewick status` shows how many are pending, and the corrections")
    return OK


def reload(context: Context, _: Namespace) -> int:
    from app.cli.reload import reload

    print(reload(context))
    return OK


def doctor(context: Context, arguments: Namespace) -> int:
    from app.cli import doctor

    report = doctor.examine(context.settings, arguments.minutes, arguments.record)
    _show(report.as_dict(), arguments, lambda _: doctor.show(report))
    return report.code


def ingest(context: Context, _: Namespace) -> int:
    from app.ingest.process import Ingest, main

    return main(Ingest(context, context.settings, context.budgeted_rest, context.tasks))


def web(context: Context, _: Namespace) -> int:
    from app.web.server import main

    return main(context.settings)


def watchdog(context: Context, _: Namespace) -> int:
    from app.watchdog import main

    return main(context)


def flower(context: Context, _: Namespace) -> int:
    """Replaces this process by Flower, so that a supervisor controls it directly.

    Flower reads variables of its own: it receives its password in one, and no others, which may be a platform's.
    """
    from app.bind_checks import check_flower

    settings = context.settings
    check_flower(settings)
    options = [f"--address={settings.flower_address}", f"--port={settings.flower_port}", "--max-tasks=5000"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")}
    if settings.flower_basic_auth:
        environ["FLOWER_BASIC_AUTH"] = settings.flower_basic_auth
    os.execve(sys.executable, [sys.executable, "-m", "workers", "flower", *options], own_environment(environ))


COMMANDS: dict[str, Callable[[Context, Namespace], int]] = {
    f.__name__: f
    for f in (
        status,
        products,
        candles,
        indicators,
        watch,
        export,
        gaps,
        alerts,
        backfill,
        reconcile,
        reload,
        doctor,
        ingest,
        web,
        watchdog,
        flower,
    )
}


def _show(answer: T, arguments: Namespace, table: Callable[[T], None]) -> None:
    """Print `answer`: as JSON for programs, or with `table` for people."""
    if arguments.json:
        sys.stdout.write(plain_json(answer).decode() + "\n")
    else:
        table(answer)
    sys.stdout.flush()

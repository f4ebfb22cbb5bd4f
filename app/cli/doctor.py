"""`doctor`: a line of progress while it listens, and its report as tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.tables import open_console
from app.doctor import report
from app.doctor.examination import Progress
from app.doctor.finding import Finding, Verdict
from app.doctor.report import Report
from app.doctor.secrets import origin
from app.settings import Settings

_STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "bold red", Verdict.UNSEEN: "yellow"}


def examine(settings: Settings, minutes: float, record: Path | None) -> Report:
    """The report. On a terminal, a line shows how far it is; the log is silent, as the report has all that it has."""
    logging.getLogger().setLevel(logging.CRITICAL)
    with Console(stderr=True).status("connecting ...") as line:
        return report.examine(settings, minutes, record, lambda now: line.update(_line(now)))


def _line(now: Progress) -> str:
    passed, of = (timedelta(seconds=int(seconds)) for seconds in (now.passed_s, now.of_s))
    return (
        f"{now.exchange}: listened for {passed} of {of} of exchange time, {now.frames:,} frames, "
        f"{now.requests} requests (Ctrl-C: report what has been seen)"
    )


def show(found: Report) -> None:
    """A table for each exchange, and one for this machine."""
    console = open_console()
    for examined in found.exchanges:
        target = examined.target
        console.print(
            f"[bold]{target.exchange}[/bold]: {origin(target.ws_url)}, {origin(target.rest_url)}; listened to "
            f"{len(examined.products)} products for {timedelta(seconds=int(examined.passed_s))} of exchange time",
            soft_wrap=True,
        )
        if examined.unreachable:
            console.print(f"cannot be reached: {escape(examined.unreachable)}", style="bold red", soft_wrap=True)
        _print(console, "assumption", examined.findings)
    for name in found.unknown:
        console.print(f"[bold]{name}[/bold]: not examined: no assumptions about it are written down")
    _print(console, "this machine", found.machine)
    verdicts = [f.verdict for f in (*found.machine, *(f for e in found.exchanges for f in e.findings))]
    console.print(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict))


def _print(console: Console, title: str, findings: Sequence[Finding]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True)
    table.add_column("seen", overflow="fold")
    table.add_column("holds?", no_wrap=True)
    table.add_column("used for", overflow="fold")
    for name, used_for, seen, verdict in findings:
        table.add_row(name, escape(seen), f"[{_STYLES[verdict]}]{verdict}[/]", escape(used_for))
    console.print(table)

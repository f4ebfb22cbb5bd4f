"""Responses as tables, for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.query.status import Status
from app.settings.show import Row
from app.util.numbers import plain
from app.util.timestamps import format_utc
from app.wire.alerts import AlertsAndChannels
from app.wire.candles import NUMBERS, CandlesAnswer
from app.wire.indicators import IndicatorInShort, IndicatorsAnswer, ProductsAnswer

WIDE = 240

NAMED = 40
"""Rows shown of one kind; the rest are counted, and `--json` has them all."""


def status(state: Status, console: Console | None = None) -> None:
    """The summary, the facts behind it, then the series with problems."""
    console = console or open_console()
    console.print(escape(state.summary), style="bold green" if state.ready else "bold red", soft_wrap=True)
    console.print(_facts(state))
    troubled = [s for s in state.series if s.stale or not s.ready or s.reason]
    _print(
        console,
        ("series with problems", "candles", "newest", "age s", "why"),
        [
            (
                f"{s.product} {s.timeframe}",
                s.candles,
                _time(s.newest),
                _number(s.age_seconds, 0),
                "out of date" if s.stale else s.reason,
            )
            for s in troubled
        ],
    )


def _facts(state: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    clock, redis, budget, gaps = state.feed.clock, state.redis, state.budget, state.gaps
    connections = [c for i in state.feed.ingests for c in i.connections]
    opened = [c.open_ms for c in connections if c.open_ms]
    facts = {
        "feed": f"{'connected' if state.feed.connected else 'not connected'}: "
        f"ingest processes {len(state.feed.ingests)}, "
        f"{sum(c.is_open for c in connections)} of {len(connections)} connections open, "
        f"{sum(c.sequence_gaps for c in connections)} sequence gaps"
        + (f", connected for {timedelta(seconds=min(opened) // 1000)}" if opened else ""),
        "exchange time": f"{_time(clock.exchange_ms / 1000)} UTC, received {clock.age_real_seconds:.1f} s ago"
        if clock
        else "never received",
        "start": f"{state.start.text}; {state.start.series_ready} of {state.start.series_total} series",
        "requests": f"{gaps.total} pending ({gaps.settling} settling, {gaps.delayed} delayed, "
        f"{gaps.under_way} under way), {len(gaps.failures)} given up",
        "budget": f"{budget.granted} granted, {budget.throttled} answered 429, 401 or 403, "
        f"at most {budget.per_second:g} per second"
        + (f", paused for {budget.paused_real_seconds:.0f} s" if budget.paused_real_seconds else "")
        + (f": {budget.pause_reason}" if budget.pause_reason else ""),
        "corrections": f"{state.corrections.total} "
        + " ".join(f"({cause}: {sum(by.values())})" for cause, by in state.corrections.by_cause.items()),
        "processes": ", ".join(f"{role} {n}" for role, n in state.processes.items()) or "none running",
        "tasks waiting": ", ".join(f"{name} {n}" for name, n in state.queues.waiting.items())
        + f"; held by workers {state.queues.unacknowledged}",
        "redis": f"{redis.version}, {redis.used_bytes / 1e6:.1f} MB of "
        f"{f'{redis.max_bytes / 1e6:.0f} MB' if redis.max_bytes else 'no limit'}, {redis.policy}, "
        f"append-only file {'on' if redis.append_only else 'OFF'}",
    }
    for name, fact in facts.items():
        table.add_row(name, escape(fact))
    return table


def products(answer: ProductsAnswer) -> None:
    timeframes = answer["timeframes"]
    _print(
        open_console(),
        ("product", "fed by", *(f"MACD-V {t}" for t in timeframes), "state"),
        [
            (
                p["product"],
                p["source"],
                *(_macdv(p["latest"][t]) for t in timeframes),
                f"refused: {p['refused']}" if p["refused"] else "followed",
            )
            for p in answer["products"]
        ],
        most=None,
    )


def candles(answer: CandlesAnswer) -> None:
    _print(
        open_console(),
        (_name(answer), *NUMBERS, "state"),
        [
            (
                _time(c["start"]),
                *(plain(c[name]) for name in NUMBERS),
                c["state"] if c["trades"] else f"{c['state']}, no trades",
            )
            for c in answer["candles"]
        ],
        most=None,
    )


def indicators(answer: IndicatorsAnswer) -> None:
    console = open_console()
    if not answer["ready"]:
        console.print(f"not ready: {escape(str(answer['reason']))}")
    _print(
        console,
        (_name(answer), "MACD-V", "signal", "histogram", "ATR", "stage"),
        [
            (
                _time(v["start"]),
                _number(v["macdv"]),
                _number(v.get("signal")),
                _number(v.get("histogram")),
                f"{v['atr']:.6g}",
                v["stage"] or "",
            )
            for v in answer["series"]
        ],
        most=None,
    )


def gaps(answer: dict[str, Any]) -> None:
    console = open_console()
    missing, pending, failures = answer["missing"], answer["pending"], answer["failures"]
    buckets = sum(g["buckets"] for g in missing)
    console.print(f"{buckets} candles missing, {len(pending)} requests pending, {len(failures)} given up")
    _print(console, ("missing", "candles"), [(_name(g), g["buckets"]) for g in missing])
    _print(console, ("pending", "kind"), [(_name(r), r["kind"]) for r in pending])
    _print(console, ("given up", "kind", "reason"), [(_name(f), f["kind"], f["reason"]) for f in failures])


def alerts(answer: AlertsAndChannels) -> None:
    console = open_console()
    found = answer["alerts"]
    _print(
        console,
        ("bar ended", "alert", "price", "MACD-V", "bias", "state"),
        [
            (_time(a["end"]), a["title"], f"{a['price']:.10g}", _number(a["macdv"]), a["bias"], a["state"])
            for a in found
        ],
        most=None,
    )
    if not found:
        console.print("no alerts")
    if answer["next"]:
        console.print(f"older alerts: --cursor {answer['next']}", soft_wrap=True)
    for c in answer["channels"]:
        reason = f": {c['reason']}" if c["reason"] else ""
        text = f"channel {c['channel']} ({c['kind']}) {c['state']}, {c['waiting']} waiting, {c['done']} done{reason}"
        console.print(escape(text), style=None if c["state"] == "working" else "bold red", soft_wrap=True)


def config(rows: Sequence[Row]) -> None:
    """Each setting, its value and where it came from."""
    shown = [(row.name, row.value, str(row.origin)) for row in rows]
    _print(open_console(), ("setting", "value", "from"), shown, most=None, texts=3)


def open_console() -> Console:
    """As wide as the terminal; for a file or pipe, wide enough for one line per row."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


def _print(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    most: int | None = NAMED,
    texts: int = 1,
) -> None:
    """A table of `rows`, the first `texts` columns and the last one left-aligned; nothing if there are none."""
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < texts or i == len(columns) - 1 else "right", overflow="fold")
    for row in rows[:most]:
        table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    console.print(table)
    if most and len(rows) > most:
        console.print(f"… and {len(rows) - most} more; --json has them all")


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['product']} {row['timeframe']}"


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else format_utc(seconds)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _macdv(latest: IndicatorInShort | None) -> str:
    if latest is None or latest.get("macdv") is None:
        return "–"
    return f"{latest['macdv']:.1f} {latest.get('stage') or ''}".strip()

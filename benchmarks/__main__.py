"""What is promised, measured on this machine, in one table: python -m benchmarks [macdv] [latency] ...

A promise is a ratio to something measured in the same run (`benchmarks.yardstick`, another library, one process
without Celery), or a count; times are only shown. Each benchmark runs in its own process, one after the other. Exit
code 1: a promise is not met.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from tests.support import ROOT

NAMES = (
    *("latency", "alert_latency", "restart", "growth", "ingest", "macdv", "cache", "scan", "api", "strangers"),
    *("dashboard", "stream", "backfill"),
)
INTO = "--into"
"""For child processes only: the file for the figures of one benchmark."""


def main(arguments: list[str]) -> int:
    if len(arguments) == 3 and arguments[1] == INTO:
        found = import_module(f"benchmarks.bench_{arguments[0]}").figures()
        Path(arguments[2]).write_bytes(orjson.dumps([figure._asdict() for figure in found]))
        return 0
    if unknown := [name for name in arguments if name not in NAMES]:
        print(f"no such benchmark: {unknown[0]}; use {', '.join(NAMES)}", file=sys.stderr)
        return 2
    began_s = time.monotonic()
    figures, failed = [], []
    for name in arguments or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            figures += list(_run(name))
        except subprocess.CalledProcessError:
            failed.append(name)
    width = Console().width if sys.stdout.isatty() else 160
    Console(width=width).print(_table(figures))
    print(
        f"{time.monotonic() - began_s:.0f} s; {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f} at the end"
    )
    for name in failed:
        print(f"{name} failed: see its error above", file=sys.stderr)
    return int(bool(failed) or not all(figure.is_reached for figure in figures))


def _run(name: str) -> Iterator[Figure]:
    """Run one benchmark in its own process; yields its figures."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "figures"
        subprocess.run([sys.executable, "-m", "benchmarks", name, INTO, str(answer)], cwd=ROOT, check=True)
        for row in orjson.loads(answer.read_bytes()):
            yield Figure(**row)


def _table(figures: list[Figure]) -> Table:
    table = Table(title="median of the runs (the least and the greatest); targets of the ratio, or of the count")
    for column in ("figure", "seen here", "yardstick", "ratio", "target", ""):
        table.add_column(column, justify="left" if column in ("figure", "yardstick") else "right")
    for figure in figures:
        table.add_row(figure.what, figure.seen, figure.yardstick, figure.compared, figure.aim, figure.verdict)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

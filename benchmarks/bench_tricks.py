"""What each trick for speed is worth: processor time with it and without it, in turn, in one process.

The least of the runs, because whatever else runs only adds to it. A trick stays if its work takes at least 5 % more
without it: python -m benchmarks.bench_tricks
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from redis import Redis
from rich.console import Console
from rich.table import Table

import app.storage.clock
import app.storage.rings
import app.storage.scripts
from app.indicators.macdv import Floats, Smoothing, macdv_of_many
from app.indicators.window import WINDOW
from app.market.timeframes import BASE
from app.storage.pipelining import Command
from benchmarks.full import NOW_S, PRODUCTS, candles, full

PAIRS = 21

Work = Callable[[], object]


def main() -> int:
    table = Table(title=f"processor time, the least of {PAIRS} runs each, in turn")
    for name in ("trick", "work", "with it", "without", "gain"):
        table.add_column(name)
    for trick, what, work, without in tricks():
        ms = _paired(work, without)
        table.add_row(trick, what, f"{ms[0]:.2f} ms", f"{ms[1]:.2f} ms", f"{100 * (ms[1] / ms[0] - 1):.1f} %")
    Console(width=120).print(table)
    return 0


def tricks() -> Iterator[tuple[str, str, Work, Callable[[], AbstractContextManager[object]]]]:
    """Each trick, the work that it is for, and a context in which that work is done without it."""
    batch = [candles(BASE, NOW_S - NOW_S % BASE.seconds - i, WINDOW) for i in range(len(PRODUCTS))]
    yield "two series as complex numbers", f"MACD-V of {len(batch)} windows", lambda: macdv_of_many(batch), _plain_sums
    with full() as everything:
        start_s = iter(range(2 * NOW_S // BASE.seconds * BASE.seconds, 2**32, BASE.seconds))
        closes = f"{len(PRODUCTS)} closes with indicators"
        yield "own pipelining", closes, lambda: everything.close_all(BASE, next(start_s)), _plain_pipelines


def _paired(work: Work, without: Callable[[], AbstractContextManager[object]]) -> tuple[float, float]:
    """Milliseconds with the trick and without it."""
    ms: tuple[list[float], list[float]] = ([], [])
    for _ in range(PAIRS):
        ms[0].append(_cpu_ms(work))
        with without():
            ms[1].append(_cpu_ms(work))
    return min(ms[0]), min(ms[1])


def _cpu_ms(work: Work) -> float:
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


@contextmanager
def _plain_sums() -> Iterator[None]:
    def average_all(self: Smoothing, x: Floats, out: Floats) -> None:
        k = np.s_[1 : x.shape[1] + 1]
        np.multiply(x, self.gain[k], out=out)
        np.add.accumulate(out, axis=1, out=out)
        out *= self.scale[k]

    with patch.object(Smoothing, "_average_all", average_all):
        yield


@contextmanager
def _plain_pipelines() -> Iterator[None]:
    def send(client: Redis, commands: Iterable[Command]) -> list[Any]:
        with client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute(raise_on_error=False))

    def transact(client: Redis, commands: Sequence[Command]) -> list[Any]:
        with client.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute())

    with ExitStack() as stack:
        for module in (app.storage.clock, app.storage.rings, app.storage.scripts):
            stack.enter_context(patch.object(module, "send_pipelined", send))
        stack.enter_context(patch.object(app.storage.rings, "transaction", transact))
        yield


if __name__ == "__main__":
    raise SystemExit(main())

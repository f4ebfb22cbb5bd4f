"""How long MACD-V takes: microseconds of processor time per series, the median of several runs.

    python -m benchmarks.bench_macdv [--series 700] [--bars 500] [--runs 9]

The plain loop over bars in Python is measured too: machines differ, the ratio hardly does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from app.candles import State
from app.indicators.macdv import BLOCK, Bools, Floats, macdv, macdv_of, macdv_of_many
from app.records import EMPTY, RECORD, Records
from tests.macdv_reference import reference_macdv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=700)
    parser.add_argument("--bars", type=int, default=500)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()

    def show(what: str, work: Callable[[], object], series: int) -> None:
        print(f"{what:52s} {median_us(work, options.runs) / series:10.2f} µs per series")

    print(f"{options.series} series × {options.bars} bars, median of {options.runs} runs")
    for label, empty in (("every bar traded", 0.0), ("15 % of the bars without trades", 0.15)):
        high, low, close, traded = market(options.series, options.bars, empty)
        batch = records_of(high, low, close, traded)
        show(f"arrays to values, {label}", partial(in_blocks, high, low, close, traded), options.series)
        show(f"records to values and stages, {label}", partial(macdv_of_many, batch), options.series)
    for series in (1, 16):
        show(f"records to values and stages, {series} alone", partial(macdv_of_many, batch[:series]), series)
    bars = [column[0].tolist() for column in (high, low, close, traded)]
    show("plain Python", partial(reference_macdv, *bars), 1)
    assert np.isfinite(macdv_of(batch[0]).macdv[-1])


def in_blocks(high: Floats, low: Floats, close: Floats, traded: Bools) -> None:
    for first in range(0, len(close), BLOCK):
        part = slice(first, first + BLOCK)
        macdv(high[part], low[part], close[part], traded[part])


def median_us(work: Callable[[], object], runs: int) -> float:
    work()
    times = []
    for _ in range(runs):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1e6 * statistics.median(times)


def market(series: int, bars: int, empty: float) -> tuple[Floats, Floats, Floats, Bools]:
    """High, low, close and whether there were trades, of random walks: series × bars."""
    random = np.random.default_rng(1)
    traded = random.random((series, bars)) >= empty
    traded[:, 0] = True
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.002, (series, bars)) * traded, axis=1))
    wick = 1 + 0.001 * random.random((series, bars)) * traded
    return close * wick, close / wick, close, traded


def records_of(high: Floats, low: Floats, close: Floats, traded: Bools) -> list[Records]:
    records = np.zeros(close.shape, RECORD)
    records["start_s"] = 300 * np.arange(1, close.shape[1] + 1)
    records["flags"] = np.where(traded, State.CONFIRMED, State.CONFIRMED | EMPTY)
    records["high"], records["low"], records["open"], records["close"] = high, low, close, close
    return list(records)


if __name__ == "__main__":
    main()

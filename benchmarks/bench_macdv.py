"""Speed of MACD-V, ours and that of other libraries: microseconds of processor time per series.

    python -m benchmarks.bench_macdv [--series 700] [--bars 500] [--runs 9]

Other libraries must first return the same values. A plain Python loop over bars is measured too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from app.indicators.macdv import BLOCK, Bools, Columns, Floats, macdv, macdv_of_many
from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records
from app.util.batches import batched
from benchmarks.figures import Figure
from benchmarks.peers import Peer, installed
from benchmarks.yardstick import alternate, running_sum_us
from tests.macdv_reference import reference_macdv

T = TypeVar("T")

SERIES, BARS, RUNS = 700, 500, 9
BATCH = 64
"""Series per call, as in a worker's task; the results are dropped before the next call."""
SLOW = {"talipp": 70}
"""Series for libraries that take milliseconds for each."""


def figures(series: int = SERIES, bars: int = BARS, runs: int = RUNS) -> list[Figure]:
    """Prices to values; records to values and stages; and the latter's time as a fraction of each other library's.

    The others also receive records, and return values only.
    """
    prices = market(series, bars, 0.0)
    batch = records_of(*prices)
    peers = dict(installed())
    for peer in peers.values():
        _assert_same_values(batch[:70], peer)

    def in_turn() -> dict[str, float]:
        """Time of each per series, measured under the same load."""
        took = {"prices": _took_us(lambda rows: _from_prices(*prices, rows), range(series))}
        took["records"] = _took_us(macdv_of_many, batch)
        return took | {name: _took_us(peer, batch[: SLOW.get(name)]) for name, peer in peers.items()}

    closes = np.stack(batch)["close"]
    seen, sums = alternate(partial(running_sum_us, closes, BATCH), in_turn, runs)
    took = {name: [run[name] for run in seen] for name in seen[0]}
    what, yardstick = f"MACD-V of {series} series × {bars} bars, one core", "NumPy's running sum of their closes"
    return [
        Figure(what, "µs per series", 5.5, took["prices"], yardstick, sums),
        Figure("the same from stored records, and with stages", "µs per series", 11, took["records"], yardstick, sums),
        *(Figure("the same", "µs per series", 1, took["records"], name, took[name]) for name in peers),
    ]


def _took_us(work: Callable[[Sequence[T]], object], batch: Sequence[T]) -> float:
    """Processor time of one run, per series."""
    began = time.process_time()
    for some in batched(batch, BATCH):
        work(some)
    return 1e6 * (time.process_time() - began) / len(batch)


def _assert_same_values(batch: Sequence[Records], peer: Peer) -> None:
    values = macdv_of_many(batch)
    theirs = peer(batch)
    for name, their in zip(("macdv", "signal"), theirs, strict=True):
        ours = np.stack([getattr(series, name) for series in values])
        np.testing.assert_allclose(ours, their, rtol=1e-9, atol=1e-9, err_msg=f"{peer.__name__}: {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=SERIES)
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    for figure in figures(options.series, options.bars, options.runs):
        print(figure)

    def show(what: str, work: Callable[[], object], series: int) -> None:
        print(f"{what:62s} {median_us(work, options.runs) / series:10.2f} µs per series")

    for label, empty in (("every bar traded", 0.0), ("15 % of the bars without trades", 0.15)):
        high, low, close, traded = market(options.series, options.bars, empty)
        batch = records_of(high, low, close, traded)
        show(f"arrays to values, {label}", partial(in_blocks, high, low, close, traded), options.series)
        show(f"records to values and stages at once, {label}", partial(macdv_of_many, batch), options.series)
    for series in (1, 16):
        show(f"records to values and stages, {series} alone", partial(macdv_of_many, batch[:series]), series)
    bars = [column[0].tolist() for column in (high, low, close, traded)]
    show("plain Python", partial(reference_macdv, *bars), 1)


def in_blocks(high: Floats, low: Floats, close: Floats, traded: Bools) -> None:
    for rows in batched(range(len(close)), BLOCK):
        _from_prices(high, low, close, traded, rows)


def _from_prices(high: Floats, low: Floats, close: Floats, traded: Bools, rows: Sequence[int]) -> None:
    part = slice(rows[0], rows[-1] + 1)
    macdv(Columns.from_prices(high[part], low[part], close[part], traded[part]))


def median_us(work: Callable[[], object], runs: int) -> float:
    work()
    times = []
    for _ in range(runs):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1e6 * statistics.median(times)


def market(series: int, bars: int, empty: float) -> tuple[Floats, Floats, Floats, Bools]:
    """High, low, close and whether there were trades, of random walks; each an array of series × bars."""
    random = np.random.default_rng(1)
    traded = random.random((series, bars)) >= empty
    traded[:, 0] = True
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.002, (series, bars)) * traded, axis=1))
    wick = 1 + 0.001 * random.random((series, bars)) * traded
    return close * wick, close / wick, close, traded


def records_of(high: Floats, low: Floats, close: Floats, traded: Bools) -> list[Records]:
    records = np.zeros(close.shape, RECORD)
    records["start_s"] = 300 * np.arange(1, close.shape[1] + 1)
    records["flags"] = np.where(traded, CandleState.CONFIRMED, CandleState.CONFIRMED | EMPTY)
    records["high"], records["low"], records["open"], records["close"] = high, low, close, close
    return list(records)


if __name__ == "__main__":
    main()

"""Runs seeds of the simulation; a failing one is shrunk, and its trace printed.

    python -m tests.simulation 1 2 3             # these seeds
    python -m tests.simulation 1-10000 --jobs 2  # two at a time
    python -m tests.simulation 17 --trace        # every event of one seed
    python -m tests.simulation 17 --twice        # check that it is reproducible
    python -m tests.simulation 1-50 --small      # two products and two timeframes, like the tests

Exits with 1 if a promise was broken, and prints how to run the failing seeds again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain

from tests.faults.chaos import seeds_of
from tests.simulation.plan import FULL, SMALL, Plan, Size
from tests.simulation.run import Result, Simulator, simulator
from tests.simulation.shrink import shrunk

TRACE_LINES = 200


@dataclass(frozen=True)
class Summary:
    """The outcome of one seed, sent between processes."""

    seed: int
    cpu_s: float
    hours: float
    span_hours: float
    requests: int
    fingerprint: int
    kinds: tuple[str, ...]
    broken: dict[str, int]
    report: str


def summary(result: Result, report: str = "") -> Summary:
    plan, kinds = result.plan, tuple(f.kind for f in result.plan.faults)
    counts = {name: len(lines) for name, lines in result.verdict.broken.items()}
    return Summary(plan.seed, result.cpu_s, plan.hours, plan.span_hours, result.requests, result.fingerprint, kinds,
                   counts, report)  # fmt: skip


@cache
def _simulator() -> Simulator:
    """The simulator of this process, with a server that ends with it."""
    return _open.enter_context(simulator())


_open = ExitStack()


def run_one(seed: int, *, shrinks: bool, size: Size) -> Summary:
    """Run a seed in this process."""
    result = _simulator().run(_simulator().plan(seed, size))
    return summary(result, _explained(_simulator(), result, shrinks=shrinks) if result.verdict.broken else "")


def _explained(simulated: Simulator, result: Result, *, shrinks: bool) -> str:
    """The broken promises of the smallest plan that fails in the same way, and its trace."""
    kinds = set(result.verdict.broken)

    def fails(plan: Plan) -> bool:
        return bool(kinds & set(simulated.run(plan).verdict.broken))

    plan = shrunk(result.plan, fails) if shrinks else result.plan
    again = simulated.run(plan, traced=True)
    return "\n".join([f"shrunk to: {_described(plan)}", *again.verdict.lines(), "the end of its trace:",
                      *again.trace[-TRACE_LINES:]])  # fmt: skip


def _described(plan: Plan) -> str:
    faults = ", ".join(f"{f.kind} at {f.at_s:.0f} s for {f.lasts_s:.0f} s" for f in plan.faults) or "no faults"
    products = ", ".join(f"{p.name} {100 * p.activity:.0f} %" for p in plan.products)
    return f"{plan.hours:.1f} h in {len(plan.starts)} starts; {products}; {faults}"


def _report(seen: Sequence[Summary]) -> str:
    cpu_s, hours = [s.cpu_s for s in seen], sum(s.hours for s in seen)
    broken = Counter(chain.from_iterable(s.broken for s in seen))
    return (
        f"{len(seen)} seeds, {hours:.0f} market hours ({sum(s.span_hours for s in seen):.0f} with downtimes): "
        f"{', '.join(f'{broken[name]} {name}' for name in ('lost', 'wrong', 'emptied'))}; other failures: "
        f"{sum(n for name, n in broken.items() if name not in ('lost', 'wrong', 'emptied'))}; processor time a seed: "
        f"mean {statistics.mean(cpu_s):.2f} s, median {statistics.median(cpu_s):.2f} s, most {max(cpu_s):.2f} s "
        f"({hours * 3600 / sum(cpu_s):,.0f} x real time); "
        f"requests a seed: {statistics.mean(s.requests for s in seen):.0f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="an installation in virtual time")
    parser.add_argument("seeds", nargs="+", help="numbers, or ranges like 1-10000")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--twice", action="store_true", help="run each seed twice: is it the same again?")
    parser.add_argument("--small", action="store_true", help="two products and two timeframes: a third of the cost")
    parser.add_argument("--until-broken", action="store_true", help="end with the first seed that fails")
    parser.add_argument("--no-shrink", action="store_true", help="explain a failing seed as it is")
    options = parser.parse_args()
    seeds, size = seeds_of(options.seeds), SMALL if options.small else FULL
    if options.trace or options.twice:
        return _run_twice(seeds, size, traced=options.trace)
    seen: list[Summary] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for one in pool.map(partial(run_one, shrinks=not options.no_shrink, size=size), seeds):
            seen.append(one)
            state = f"BROKEN {one.broken}" if one.broken else f"ok in {one.cpu_s:.1f} s, {one.requests} requests"
            print(f"seed {one.seed}: {state}: {one.hours:.1f} h, {', '.join(one.kinds) or 'no faults'}", flush=True)
            if one.broken:
                print(one.report, flush=True)
                if options.until_broken:
                    pool.shutdown(cancel_futures=True)
                    break
    print(_report(seen))
    if broken := [str(s.seed) for s in seen if s.broken]:
        print(f'broken; again with: make simulate SEEDS="{" ".join(broken)}"')
    return int(bool(broken))


def _run_twice(seeds: Sequence[int], size: Size, *, traced: bool) -> int:
    """Run each seed twice; report broken promises and differences."""
    failed = 0
    with simulator() as simulated:
        for seed in seeds:
            first, second = (simulated.run(simulated.plan(seed, size), traced=traced) for _ in range(2))
            print("\n".join([*first.trace, *first.verdict.lines()]))
            same = first.fingerprint == second.fingerprint
            print(f"seed {seed}: {first.fingerprint:08x} {'twice' if same else f'and {second.fingerprint:08x}'}")
            failed += not same or bool(first.verdict.broken)
    return int(bool(failed))


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of a run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    raise SystemExit(main())

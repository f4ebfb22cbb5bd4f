"""The whole system under faults, seed by seed; at the end of each, cache, indicators and alerts must be the truth.

    python -m tests.faults.chaos 1 2 3            # these seeds
    python -m tests.faults.chaos 1-200 --jobs 2   # two at a time
    python -m tests.faults.chaos 17 --keep var/chaos --only "Redis killed"

A seed is a schedule: which faults, when, for how long. Prints a table of faults and outcomes. If a promise was broken
it prints how to run the failing seeds again, keeps their logs and data, and exits with 1.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.faults.catalogue import Fault, catalogue
from tests.faults.verdict import Verdict, judge
from tests.faults.world import AFTER_S, PROCESSES, Waits, World, world
from tests.support import ROOT, eventually

PRODUCTS = 6
FAULTS = (3, 6)
"""Fewest and most faults in a run."""

STRIKES_S = 25.0
"""Real seconds in which faults strike; 25 minutes of market."""

SEED_TIMEOUT_S = 3_000

COLUMNS = ("strikes", "seeds", "lost", "wrong", "alerts", "stuck", "over budget", "to truth", "worst")
"""Sums; `to truth`: the median of the real seconds from the end of the last fault of a seed."""


@dataclass(frozen=True)
class Run:
    """The outcome of one seed. Times are real seconds."""

    seed: int
    faults: list[str]
    verdict: Verdict
    error: str = ""
    log: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Broken promises; empty if there are none."""
        return ([self.error] if self.error else []) + self.verdict.broken


def schedule(seed: int, only: Sequence[str] = ()) -> list[tuple[float, Fault]]:
    """Which faults strike at which second. The same seed makes the same schedule."""
    chance = random.Random(f"candlewick {seed}")
    known = catalogue()
    others = [chance.choice(known) for _ in range(chance.randint(*FAULTS) - 1)]
    # Every fault has its turn, whatever is drawn.
    chosen = [f for f in known if f.name in only] or [known[seed % len(known)], *others]
    return sorted(((chance.uniform(0, STRIKES_S), f) for f in chosen), key=lambda pair: pair[0])


def strike(everything: World, plan: Sequence[tuple[float, Fault]], seed: int, write: Callable[[str], None]) -> None:
    """Run all of `plan` and wait until the last fault is healed. Faults may overlap."""
    began = time.monotonic()
    steps: list[tuple[float, int, str, Waits]] = []
    for number, (at_s, fault) in enumerate(plan):
        waits = fault.strike(everything, random.Random(f"{seed} {number}"))
        heapq.heappush(steps, (at_s, number, fault.name, waits))
    began_s: dict[int, float] = {}
    while steps:
        due_s, number, name, waits = heapq.heappop(steps)
        time.sleep(max(0.0, began + due_s - time.monotonic()))
        now_s = time.monotonic() - began
        began_s.setdefault(number, time.monotonic())
        wait_s = next(waits, None)
        if wait_s is None and plan[number][1].forgets:
            everything.losses.append((began_s[number] - AFTER_S, time.monotonic() + AFTER_S))
        write(f"{now_s:5.1f} s  {name}{' is over' if wait_s is None else ''}")
        if wait_s is not None:
            heapq.heappush(steps, (now_s + wait_s, number, name, waits))


def run(seed: int, folder: Path, only: Sequence[str] = (), products: int = PRODUCTS) -> Run:
    """One seed, in `folder`."""
    plan, log = schedule(seed, only), []
    names = [*PROCESSES, *dict.fromkeys(f"{f.second}2" for _, f in plan if f.second)]
    faults, verdict, error = [f.name for _, f in plan], Verdict(), ""
    try:
        kind = {
            "faked_clock": any(f.clock for _, f in plan),
            "shares": 2 if any(f.shares for _, f in plan) else 1,
            "replica": any(f.replica for _, f in plan),
            "addresses": any(f.addresses for _, f in plan),
        }
        with world(folder, products, seed, *names, **kind) as everything:
            eventually(lambda: everything.system.has_started(products), interval=0.3)
            everything.has_started()
            log.append(f"started: {everything.system.context.products.delivered()}")
            strike(everything, plan, seed, log.append)
            everything.exchange.clear()
            everything.follow_listing()
            verdict = judge(everything)
    except Exception as problem:  # whatever it was, the other seeds continue
        error = f"{type(problem).__name__}: {problem}"
    return Run(seed, faults, verdict, error, log)


def run_apart(seed: int, keep: Path, only: Sequence[str]) -> Run:
    """One seed in a process of its own; its folder is kept if it failed."""
    folder = keep / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.faults.chaos", str(seed), "--keep", str(keep), "--json"]
    command += [part for name in only for part in ("--only", name)]
    with (folder / "chaos.log").open("w") as log, suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=SEED_TIMEOUT_S, check=False)
    result = read(folder / "result.json") or Run(
        seed, [], Verdict(), f"timed out after {SEED_TIMEOUT_S} s, or was killed: see {folder}/chaos.log"
    )
    if not result.broken:
        shutil.rmtree(folder)
    (keep / "results").mkdir(exist_ok=True)
    (keep / "results" / f"{seed}.json").write_text(json.dumps(asdict(result)))
    return result


def read(file: Path) -> Run | None:
    if not file.exists():
        return None
    fields = json.loads(file.read_text())
    return Run(**{**fields, "verdict": Verdict(**fields["verdict"])})


def report(runs: Sequence[Run]) -> Table:
    """A table of faults and outcomes: one line per fault, sums at the end."""
    by_fault: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
    groups = {f.name: f.group for f in catalogue()}
    for one in runs:
        for name in dict.fromkeys(one.faults):
            by_fault[groups.get(name, ""), name].append(one)
    table = Table(title=f"{len(runs)} seeds", box=box.MARKDOWN)
    table.add_column("fault", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for (group, name), of_fault in sorted(by_fault.items()):
        table.add_row(f"{group}: {name}", str(sum(r.faults.count(name) for r in of_fault)), *_numbers(of_fault))
    table.add_section()
    table.add_row("all", str(sum(len(r.faults) for r in runs)), *_numbers(runs))
    return table


def _numbers(runs: Sequence[Run]) -> list[str]:
    verdicts = [r.verdict for r in runs]
    times = [v.to_truth_s for v in verdicts]
    counts = (
        sum(len(v.lost) for v in verdicts),
        sum(len(v.wrong) for v in verdicts),
        sum(len(v.alerts) for v in verdicts),
        sum(len(v.stuck) for v in verdicts) + sum(bool(r.error) for r in runs),
        sum(v.throttled > 0 or v.busiest > v.budget for v in verdicts),
    )
    return [str(len(runs)), *map(str, counts), f"{statistics.median(times):.1f} s", f"{max(times):.1f} s"]


def seeds_of(texts: Sequence[str]) -> list[int]:
    """`1 2 3`, `1-200`, or both."""

    def expand(text: str) -> Iterator[int]:
        first, _, last = text.partition("-")
        yield from range(int(first), int(last or first) + 1)

    return [seed for text in texts for seed in expand(text)]


def main() -> int:
    parser = argparse.ArgumentParser(description="the whole system under faults, seed by seed")
    parser.add_argument("seeds", nargs="+", help="numbers, or ranges like 1-200")
    parser.add_argument("--jobs", type=int, default=1, help="seeds that run at the same time")
    parser.add_argument("--keep", type=Path, default=ROOT / "var" / "chaos", help="where failed seeds leave their logs")
    parser.add_argument("--only", action="append", default=[], help="strike with this fault (repeatable)")
    parser.add_argument("--report", action="store_true", help="only print the table of what these seeds last did")
    parser.add_argument("--json", action="store_true", help="one seed in this process; writes result.json")
    options = parser.parse_args()
    seeds, console = seeds_of(options.seeds), Console(width=170)
    if options.report:
        kept = (read(options.keep / "results" / f"{seed}.json") for seed in seeds)
        console.print(report([one for one in kept if one]))
        return 0
    if options.json:
        folder = options.keep / str(seeds[0])
        (folder / "result.json").write_text(json.dumps(asdict(run(seeds[0], folder, options.only))))
        return 0
    runs: list[Run] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda seed: run_apart(seed, options.keep, options.only), seeds):
            runs.append(result)
            state = "BROKEN" if result.broken else "ok"
            console.print(
                f"seed {result.seed}: {state} in {result.verdict.to_truth_s:.1f} s: {', '.join(result.faults)}"
            )
            for line in result.broken[:8]:
                console.print(f"    {line[:600]}", markup=False)
    console.print(report(runs))
    broken = [str(r.seed) for r in runs if r.broken]
    if broken:
        console.print(f'broken; again with: make chaos SEEDS="{" ".join(broken)}"  (logs: {options.keep}/SEED)')
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())

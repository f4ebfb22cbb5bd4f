"""Makes each mutant in a copy of the project and reports those that no test detects.

    python -m tests.mutants                        # all that are listed
    python -m tests.mutants needs proof --jobs 2   # those of some lists or files
    python -m tests.mutants needs --generate 40    # and mechanical ones: this many per Python file, chosen by --seed

Exits with 1 if one survives without an explanation, or no longer applies.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from redis import Redis
from redis.exceptions import ResponseError
from rich import box
from rich.console import Console
from rich.table import Table

from tests.mutants.copies import Copy, Outcome, Run, preload
from tests.mutants.mechanical import generated
from tests.mutants.mutant import Mutant, Stale, Target, targets
from tests.redis_server import RedisServer
from tests.support import ROOT, free_port

PATIENCE_S = 30.0
"""A mutant's tests hang if they take longer than this and five times their usual duration."""


class Job(NamedTuple):
    """Tests to run with a mutant; without one, they must pass."""

    target: Target
    mutant: Mutant | None
    tests: tuple[str, ...]
    text: str
    timeout_s: float


class Result(NamedTuple):
    job: Job
    run: Run


def main() -> int:
    options = _options()
    chosen = targets(options.only)
    if not chosen:
        print(f"nothing is called {' '.join(options.only)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # remove the temporary folder
    began, console = time.monotonic(), Console()
    preload()
    jobs, stale = _jobs(chosen, options.generate, options.seed, options.match)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        context = multiprocessing.get_context("fork")
        with context.Pool(min(options.jobs, len(jobs) or 1), _begin, (folder,)) as pool:
            baseline = {r.job.tests: r.run for r in pool.imap_unordered(_work, _baseline(jobs))}
            if failing := [(tests, run) for tests, run in baseline.items() if run.outcome is not Outcome.PASSED]:
                for tests, run in failing:
                    print(f"without any mutant: {' '.join(tests)}: {run.outcome.value}\n{run.detail}")
                return 1
            timed = [job._replace(timeout_s=PATIENCE_S + 5 * baseline[job.tests].seconds) for job in jobs]
            results = list(_shown(pool.imap_unordered(_work, timed), len(timed), options.verbose))
    console.print(_table(chosen, results))
    for problem in stale:
        print(f"no longer applies: {problem}")
    unexplained = _print_survivors(results)
    print(f"{len(results)} mutants in {time.monotonic() - began:.0f} s, {options.jobs} at a time")
    return 1 if unexplained or stale else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("only", nargs="*", help="lists or files; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default: 1)")
    parser.add_argument("--generate", type=int, default=0, help="mechanical mutants of each Python file (default: 0)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the mechanical ones (default: 1)")
    parser.add_argument("--match", default="", help="only mutants whose name matches this regular expression")
    parser.add_argument("--verbose", action="store_true", help="print which test saw each mutant")
    return parser.parse_args()


def _jobs(chosen: Sequence[Target], count: int, seed: int, match: str) -> tuple[list[Job], list[str]]:
    """The jobs, and the mutants that no longer apply."""
    jobs, stale = [], []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), free_port()) as server:
        for target in chosen:
            text = (ROOT / target.file).read_text(encoding="utf-8")
            more = generated(target, text, count, seed) if target.file.endswith(".py") else []
            for mutant in (m for m in [*target.mutants, *more] if re.search(match, m.name)):
                tests = mutant.tests or target.tests
                try:
                    jobs.append(Job(target, mutant, tests, _checked(mutant.applied(text), target.file, server.url), 0))
                except Stale as error:
                    stale.append(f"{target.name}: {mutant.name}: {error}")
    return jobs, stale


def _checked(text: str, file: str, redis_url: str) -> str:
    """`text` if it compiles: otherwise any test would fail."""
    try:
        if file.endswith(".py"):
            compile(text, file, "exec")
        else:
            with Redis.from_url(redis_url) as client:
                client.script_load(text)
    except (SyntaxError, ResponseError) as error:
        raise Stale(f"it is not a program: {error}") from error
    return text


def _baseline(jobs: Sequence[Job]) -> list[Job]:
    return list({job.tests: Job(job.target, None, job.tests, "", 600.0) for job in jobs}.values())


_copy: Copy | None = None


def _begin(folder: str) -> None:
    """Each process of the pool has its own copy."""
    global _copy
    _copy = Copy(Path(tempfile.mkdtemp(dir=folder)))


def _work(job: Job) -> Result:
    assert _copy is not None
    if job.mutant is None:
        return Result(job, _copy.run(job.tests, job.timeout_s, keeps_bytecode=True))
    with _copy.changed(job.target.file, job.text):
        return Result(job, _copy.run(job.tests, job.timeout_s))


def _shown(results: Iterator[Result], count: int, verbose: bool) -> Iterator[Result]:
    """`results`, each printed as it arrives."""
    for number, result in enumerate(results, 1):
        job, run = result
        assert job.mutant is not None
        if verbose or run.outcome in (Outcome.PASSED, Outcome.BROKEN):
            state = "survived" if run.outcome is Outcome.PASSED else run.outcome.value
            detail = "" if run.outcome is Outcome.PASSED else f": {run.detail}"
            print(
                f"{number}/{count} {job.target.name}: {job.mutant.name}: {state} in {run.seconds:.1f} s{detail}",
                flush=True,
            )
        yield result


def _explanation(job: Job) -> str:
    assert job.mutant is not None
    return job.mutant.survives or job.target.equivalent.get(job.mutant.name, "")


def _table(chosen: Sequence[Target], results: Sequence[Result]) -> Table:
    by_file: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_file[result.job.target.file].append(result)
    table = Table(box=box.SIMPLE)
    for column in ("module", "mutants", "killed", "survived", "explained", "seconds"):
        table.add_column(column, justify="left" if column == "module" else "right")
    for file in dict.fromkeys(target.file for target in chosen):
        some = by_file[file]
        survivors = [r for r in some if _survived(r)]
        explained = sum(bool(_explanation(r.job)) for r in survivors)
        numbers = (len(some), len(some) - len(survivors), len(survivors), explained)
        table.add_row(file, *map(str, numbers), f"{sum(r.run.seconds for r in some):.0f}")
    return table


def _survived(result: Result) -> bool:
    return result.run.outcome in (Outcome.PASSED, Outcome.BROKEN)


def _print_survivors(results: Sequence[Result]) -> int:
    """Returns how many of them have no explanation."""
    unexplained = 0
    for job, run in (r for r in results if _survived(r)):
        assert job.mutant is not None
        why = _explanation(job)
        unexplained += not why
        print(f"{job.target.name}: {job.mutant.name}: {run.outcome.value}: {why or 'NOT EXPLAINED'}")
    for job, run in (r for r in results if not _survived(r)):
        if why := _explanation(job):
            print(f"{job.target.name}: a test sees what is explained as invisible: {why} ({run.detail})")
    return unexplained


if __name__ == "__main__":
    sys.exit(main())

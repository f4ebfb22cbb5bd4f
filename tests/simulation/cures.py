"""Removes each cure of a fault that loses data from a copy of the project: how soon does the simulation detect it?

    python -m tests.simulation.cures                                # seeds 1-1000 for each, until one fails
    python -m tests.simulation.cures "origin" --seeds 1-50 --jobs 2
    python -m tests.simulation.cures --seeds 51-99 --only-undetected

`cures.txt` lists the cures. Each result is written into the table of docs/cures.md. Exits with 1 if the simulation
passes without one of them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.mutants.copies import Copy
from tests.mutants.mutant import Mutant, Target, targets
from tests.support import ROOT

LIST = Path(__file__).with_name("cures.txt")
PAGE = ROOT / "docs" / "cures.md"
_ROW = re.compile(r"^\| (?!without)(.+?) \| (.+?) \| (.*?) \|$", re.MULTILINE)
_NONE = "none of "
_BROKEN = re.compile(r"^seed (\d+): BROKEN (.*?\})", re.MULTILINE)
_ALL = re.compile(r"^(\d+) seeds, ", re.MULTILINE)


class Cure(NamedTuple):
    """`name`: as in the list. `mutant`, of a file of `target`, removes it."""

    name: str
    target: Target
    mutant: Mutant


class Found(NamedTuple):
    """`seed`: the first that fails without the cure, with `broken`; None if all pass."""

    cure: Cure
    seed: int | None
    broken: str
    seconds: float


def cures() -> list[Cure]:
    """All listed cures. Raises `ValueError` if a name belongs to no mutant or to several."""
    found = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            list_name, _, name = line.partition(": ")
            mutants = [(t, m) for t in targets([list_name]) for m in t.mutants if m.name == name]
            if len(mutants) != 1:
                raise ValueError(f"{LIST.name}: {line!r} is the name of {len(mutants)} mutants")
            found.append(Cure(line, *mutants[0]))
    return found


def without(cure: Cure, copy: Copy, seeds: str) -> Found:
    """Run the simulation in `copy` without `cure`. Raises `RuntimeError` if it has no result."""
    began = time.monotonic()
    text = (ROOT / cure.target.file).read_text(encoding="utf-8")
    command = [sys.executable, "-m", "tests.simulation", seeds, "--small", "--no-shrink", "--until-broken"]
    with copy.changed(cure.target.file, cure.mutant.applied(text)):
        done = subprocess.run(command, cwd=copy.folder, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if broken := _BROKEN.search(done.stdout):
        return Found(cure, int(broken[1]), broken[2], seconds)
    if not _ALL.search(done.stdout):
        raise RuntimeError(f"{cure.name}: no result\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Found(cure, None, "", seconds)


def page_with(page: str, rows: dict[str, tuple[str, str]]) -> str:
    """`page` with these rows in its table (cure: the seeds, what they broke), in the order of the list.

    Seeds that detect nothing are added to those before.
    """
    known = {name: (seeds, broken) for name, seeds, broken in _ROW.findall(page)}
    for name, (seeds, broken) in rows.items():
        before = known.get(name, ("", ""))[0]
        both = f"{before}, {seeds.removeprefix(_NONE)}" if before.startswith(_NONE) else seeds
        known[name] = (both if seeds.startswith(_NONE) else seeds, broken)
    table = [f"| {cure.name} | {' | '.join(known[cure.name])} |\n" for cure in cures() if cure.name in known]
    return page[: page.index("| without")] + "| without | seed | broken |\n|---|---|---|\n" + "".join(table)


def undetected(page: str) -> set[str]:
    """Cures that no seed of the table detects, or that are not in it."""
    return {cure.name for cure in cures()} - {name for name, seed, _ in _ROW.findall(page) if seed.isdigit()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.cures", description="each cure taken out")
    parser.add_argument("match", nargs="?", default="", help="only cures whose name matches this regular expression")
    parser.add_argument("--seeds", default="1-1000", help="at most these (default: 1-1000)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default: 1)")
    parser.add_argument("--only-undetected", action="store_true", help="only cures that no seed of the table detects")
    options = parser.parse_args()
    allowed = undetected(PAGE.read_text(encoding="utf-8")) if options.only_undetected else None
    chosen = [c for c in cures() if re.search(options.match, c.name) and (allowed is None or c.name in allowed)]
    detected = 0
    with tempfile.TemporaryDirectory(prefix="cures-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for _ in range(options.jobs):
            copies.put(Copy(Path(tempfile.mkdtemp(dir=folder))))

        def work(cure: Cure) -> Found:
            copy = copies.get()
            try:
                return without(cure, copy, options.seeds)
            finally:
                copies.put(copy)

        for found in pool.map(work, chosen):
            detected += found.seed is not None
            row = (str(found.seed), found.broken) if found.seed else (_NONE + options.seeds, "")
            print(f"{found.cure.name}: {' '.join(row)} ({found.seconds:.0f} s)", flush=True)
            PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), {found.cure.name: row}), encoding="utf-8")
    print(f"without {detected} of {len(chosen)} cures, a seed of {options.seeds} fails")
    return int(detected < len(chosen))


if __name__ == "__main__":
    sys.exit(main())

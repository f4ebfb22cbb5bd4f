"""A fault to be made, and the tests that must see it; and how lists of them are written.

A list names a file and tests of pytest, and below them mutants, each between blank lines: its name, the text that is
replaced (`-`), the text in its place (`+`), and what no test can see, why that is so (`=`). A mutant may have tests of
its own, in place of the file's:

    file app/market/carry_forward.py
    test tests/unit/test_carry_forward.py

    the tail is all
    - return records[holes[-1] + 1 :]
    + return records
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LISTS = Path(__file__).with_name("lists")
GENERATED = "generated "
"""Before the name of a generated mutant, of which a list says why it survives."""


class Stale(Exception):
    """A mutant that no longer applies: its text is not there, or more than once, or the result is not a program."""


@dataclass(frozen=True)
class Mutant:
    """A fault, as a replacement of a text that occurs exactly once in its file.

    `tests`: files or test ids of pytest, if other than those of its target. `survives`: why no test can see it. `at`:
    where the text begins, in bytes of UTF-8, if it may occur elsewhere, too.
    """

    name: str
    old: str
    new: str
    survives: str = ""
    tests: tuple[str, ...] = ()
    at: int | None = None

    def applied(self, text: str) -> str:
        """`text` with the fault; `Stale` if that cannot be made."""
        if self.at is not None:
            raw, end = text.encode(), self.at + len(self.old.encode())
            return f"{raw[: self.at].decode()}({self.new}){raw[end:].decode()}"
        if (count := text.count(self.old)) != 1:
            raise Stale(f"{self.old!r} occurs {count} times")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Target:
    """One file, the quick tests about it, and its mutants.

    `equivalent`: why generated mutants change nothing that matters, by their names.
    """

    file: str
    tests: tuple[str, ...]
    mutants: tuple[Mutant, ...]
    equivalent: dict[str, str]

    @property
    def name(self) -> str:
        return Path(self.file).name


def targets(only: Sequence[str] = ()) -> list[Target]:
    """Every target, or those of the lists or files (with or without suffix) that are named in `only`."""
    return [
        target
        for path in sorted(LISTS.glob("*.txt"))
        for target in parsed(path.read_text(encoding="utf-8"))
        if not only or {path.stem, target.name, Path(target.file).stem} & set(only)
    ]


def parsed(text: str) -> Iterator[Target]:
    """The targets of a list."""
    for part in ("\n" + text).split("\nfile ")[1:]:
        head, *blocks = (block.splitlines() for block in part.split("\n\n") if block.strip())
        mutants = [_mutant(block) for block in blocks]
        listed = tuple(m for m in mutants if not m.name.startswith(GENERATED))
        equivalent = {m.name.removeprefix(GENERATED): m.survives for m in mutants if m.name.startswith(GENERATED)}
        yield Target(head[0], _after("test ", head), listed, equivalent)


def _mutant(lines: Sequence[str]) -> Mutant:
    name, *rest = lines
    old, new = ("\n".join(line[2:] for line in rest if line[0] == sign) for sign in "-+")
    return Mutant(name, old, new, " ".join(_after("= ", rest)), _after("test ", rest))


def _after(word: str, lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line.removeprefix(word) for line in lines if line.startswith(word))

"""Mutants, their tests, and the format of their lists.

A list names a file and its pytest tests. Its mutants follow, separated by blank lines: a name, the replaced text (`-`),
the new text (`+`), and the reason why no test can detect it (`=`), if so. A mutant may have tests of its own, in place
of the file's:

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
"""Prefix of the name of a generated mutant, for which a list gives the reason why it survives."""


class Stale(Exception):
    """A mutant that no longer applies: its text is missing or occurs more than once, or the result does not compile."""


@dataclass(frozen=True)
class Mutant:
    """A fault: replaces a text that occurs exactly once in its file.

    `tests`: files or pytest ids, if other than those of its target. `survives`: why no test can detect it. `at`: offset
    of the text in UTF-8 bytes, if it may occur more than once.
    """

    name: str
    old: str
    new: str
    survives: str = ""
    tests: tuple[str, ...] = ()
    at: int | None = None

    def applied(self, text: str) -> str:
        """`text` with the fault. Raises `Stale` if it does not apply."""
        if self.at is not None:
            raw, end = text.encode(), self.at + len(self.old.encode())
            return f"{raw[: self.at].decode()}({self.new}){raw[end:].decode()}"
        if (count := text.count(self.old)) != 1:
            raise Stale(f"{self.old!r} occurs {count} times")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Target:
    """One file, its quick tests, and its mutants.

    `equivalent`: why generated mutants change nothing relevant, by name.
    """

    file: str
    tests: tuple[str, ...]
    mutants: tuple[Mutant, ...]
    equivalent: dict[str, str]

    @property
    def name(self) -> str:
        return Path(self.file).name


def targets(only: Sequence[str] = ()) -> list[Target]:
    """Every target, or those of the lists or files (with or without suffix) named in `only`."""
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


def _after(prefix: str, lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line.removeprefix(prefix) for line in lines if line.startswith(prefix))

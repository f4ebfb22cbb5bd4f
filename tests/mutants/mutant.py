"""A fault to be made, and the tests that must see it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants import lists


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
    mutants: Sequence[Mutant]
    equivalent: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return Path(self.file).name


def targets(only: Sequence[str] = ()) -> Iterator[tuple[str, Target]]:
    """Every target with the name of its list, or those of the lists or files (with or without suffix) of `only`."""
    for module in pkgutil.iter_modules(lists.__path__):
        for target in importlib.import_module(f"{lists.__name__}.{module.name}").TARGETS:
            if not only or {module.name, target.name, Path(target.file).stem} & set(only):
                yield module.name, target

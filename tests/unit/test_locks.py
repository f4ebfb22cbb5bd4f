"""Only tested packages are installed: every needed package is pinned, and every file of it by its hash."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

SOURCES = ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt")
PYTHONS = ("3.11.0", "3.11.9", "3.12.0", "3.13.0")
PLATFORMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))


def pinned(path: Path) -> dict[str, str]:
    """Package to `version; marker` of every line of a requirements file and its includes."""
    found = {}
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            found |= pinned(path.parent / line.removeprefix("-r "))
        elif text := re.sub(r"(^|\s)#.*|\s\\$|^\s.*", "", line):
            requirement = Requirement(text)
            assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), line
            found[canonicalize_name(requirement.name)] = f"{requirement.specifier}; {requirement.marker}"
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_a_lock_holds_exactly_the_pinned_packages_with_their_hashes(source: str) -> None:
    lock = (ROOT / source).with_suffix(".lock")
    assert pinned(lock) == pinned(ROOT / source)
    for entry in re.split(r"\n(?=\S)", lock.read_text().strip())[1:]:
        first, *hashes = entry.split(" \\\n")
        assert hashes, first
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", each) for each in hashes), first


def test_all_dependencies_on_any_python_and_platform_are_pinned() -> None:
    known = pinned(ROOT / SOURCES[1])
    missing = {
        f"{distribution.name}: {text}"
        for distribution in distributions()
        if canonicalize_name(distribution.name) in known
        for text in distribution.requires or ()
        if "extra ==" not in text
        and is_needed(requirement := Requirement(text))
        and canonicalize_name(requirement.name) not in {*known, "pip"}  # every virtual environment has it
    }
    assert missing == set()


def is_needed(requirement: Requirement) -> bool:
    """Whether one of our Python versions on one of our platforms needs it."""
    return requirement.marker is None or any(
        requirement.marker.evaluate(
            {
                "python_full_version": python,
                "python_version": python.rpartition(".")[0],
                "sys_platform": name,
                "platform_system": system,
                "platform_machine": machine,
            }
        )
        for python, (name, system, machine) in product(PYTHONS, PLATFORMS)
    )

"""The package agrees with the files beside it, and importing it costs a user's program little."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from itertools import takewhile
from typing import Any

import pytest
from packaging.requirements import Requirement

import candlewick
from client import ApiError, Candle, Client, Event
from tests.support import ROOT
from tools import cli_page

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def _pins(name: str, until: str = "# What those need") -> dict[str, Requirement]:
    """The pinned packages of a requirements file by name, down to the line that begins with `until`."""
    lines = takewhile(lambda line: not line.startswith(until), (ROOT / name).read_text().splitlines())
    found = [Requirement(line.partition("#")[0]) for line in lines if re.match(r"[A-Za-z]", line)]
    return {requirement.name: requirement for requirement in found}


def _version(pin: Requirement) -> str:
    return str(pin.specifier).removeprefix("==")


def test_the_package_needs_the_packages_of_requirements_txt_in_ranges_from_their_pins_on() -> None:
    ranges = {requirement.name: requirement for requirement in map(Requirement, PROJECT["project"]["dependencies"])}
    pins = _pins("requirements.txt")
    assert list(ranges) == list(pins)
    for name, pin in pins.items():
        major, minor, *_ = _version(pin).split(".")
        assert ranges[name].extras == pin.extras
        assert {str(part) for part in ranges[name].specifier} == {f">={major}.{minor}", f"<{int(major) + 1}"}


def test_extras_and_the_builder_agree_with_their_pins() -> None:
    pins = _pins("requirements-dev.txt") | _pins("requirements-bench.txt")
    for requirement in map(Requirement, sum(EXTRAS.values(), PROJECT["build-system"]["requires"])):
        assert requirement.specifier.contains(_version(pins[requirement.name])), requirement


def test_the_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first
    assert first[1] == candlewick.__version__


def test_the_client_is_imported_when_it_is_used() -> None:
    script = (
        "import json, sys, candlewick; before = {*sys.modules}; from candlewick import Client;"
        "print(json.dumps([sorted(before), sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    before, after = json.loads(done.stdout)
    heavy = {"app", "client", "workers", "redis", "celery", "numpy", "fastapi"}
    assert not {"requests", *heavy} & set(before)
    assert not heavy & set(after)
    assert "requests" in after


def test_it_has_the_names_of_the_client() -> None:
    for ours in (ApiError, Candle, Client, Event):
        assert getattr(candlewick, ours.__name__).__qualname__ == ours.__qualname__
    with pytest.raises(AttributeError, match="module 'candlewick' has no attribute 'Clint'"):
        candlewick.Clint  # noqa: B018


def test_the_page_of_the_command_line_is_current() -> None:
    assert cli_page.PAGE.read_text(encoding="utf-8") == cli_page.page(), "run `make docs`"

"""The files by which other projects are used and changed are valid, and agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from tests.support import ROOT
from tools import pythons

SCHEMAS = {
    "vendor.github-workflows": [".github/workflows/ci.yml"],
    "custom.github-workflows-require-timeout": [".github/workflows/ci.yml"],
    "vendor.github-issue-forms": [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/wish.yml"],
    "vendor.github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "vendor.citation-file-format": ["CITATION.cff"],
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("schema", "files"), SCHEMAS.items())
def test_each_file_has_the_form_that_its_reader_expects(schema: str, files: list[str]) -> None:
    result = CliRunner().invoke(check_jsonschema, ["--builtin-schema", schema, *(str(ROOT / name) for name in files)])
    assert result.exit_code == 0, result.output


def test_every_file_that_has_a_schema_is_checked() -> None:
    there = {str(path.relative_to(ROOT)) for path in (ROOT / ".github").rglob("*.yml")}
    assert there <= {name for files in SCHEMAS.values() for name in files}


def test_the_workflow_calls_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    steps = [step for job in read(".github/workflows/ci.yml")["jobs"].values() for step in job["steps"]]
    called = {step["run"].split()[1] for step in steps if step.get("run", "").startswith("make ")}
    assert called == {"check", "docs", "test", "pythons"}
    assert called <= targets


def test_supported_pythons_are_the_same_everywhere() -> None:
    minor = [f"3.{minor}" for minor in range(11, 15)]
    assert list(pythons.VERSIONS) == minor
    assert read(".github/workflows/ci.yml")["jobs"]["pythons"]["strategy"]["matrix"]["python"] == minor
    assert [c.split()[-1] for c in PROJECT["classifiers"] if c.startswith("Programming Language :: Python :: 3.")] == (
        minor
    )
    assert PROJECT["requires-python"] == ">=3.11"


def test_the_hooks_run_programs_that_exist() -> None:
    hooks = [hook for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        files = [word for word in (program, *arguments) if "/" in word]
        assert all((ROOT / name).exists() for name in files), hook
        assert files or program == "make"


def test_changelog_and_citation_name_the_present_version() -> None:
    from candlewick import __version__

    newest = re.search(r"^## (\d\S+) - (\d{4}-\d\d-\d\d)$", Path(ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    cited = read("CITATION.cff")
    assert newest
    assert newest.groups() == (cited["version"], cited["date-released"]) == (__version__, newest[2])
    assert cited["license"] == PROJECT["license"] == "Apache-2.0"

"""The documentation as a site: it builds without a warning, and loads nothing from another host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT

pytestmark = [pytest.mark.integration]

LOADED = re.compile(r'<(?:script|img|link)\b[^>]*?\b(?:src|href)="(https?://[^"]*)"')
USUAL = (
    *("Getting started", "Configuration", "Command line", "HTTP API", "Streaming", "Alerts", "Operations", "Security"),
    *("Scaling", "Architecture", "Extending"),
)


class _Loader(yaml.SafeLoader):
    """Reads tags of Python objects as nothing."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} == (pages - {"README"}) | {"index", "404"}
    entries = yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)["nav"]
    titles = [title for entry in entries for title in titles_of(entry)]
    assert set(USUAL) <= set(titles)


def titles_of(entry: dict[str, object]) -> list[str]:
    """The titles of an entry of the navigation and of those below it."""
    (title, below), *_ = entry.items()
    return [title] + [name for inner in (below if isinstance(below, list) else []) for name in titles_of(inner)]


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loaded = {url for path in site.glob("*.html") for url in LOADED.findall(path.read_text(encoding="utf-8"))}
    assert loaded == set()


def test_links_to_files_of_the_project_lead_to_its_repository(site: Path) -> None:
    assert "/source/examples/bot.py" in (site / "examples.html").read_text(encoding="utf-8")
    assert 'href="../' not in (site / "examples.html").read_text(encoding="utf-8")

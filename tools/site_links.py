"""A hook of mkdocs: links from pages to files outside of docs/ lead to the repository: the site has only docs/."""

from __future__ import annotations

import posixpath
import re
from typing import Any

REPOSITORY = "https://candlewick.example/source/"
OUTSIDE = re.compile(r"\]\((\.\./[^)#]*)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with such links replaced."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def outside(found: re.Match[str]) -> str:
        return f"]({REPOSITORY}{posixpath.normpath(posixpath.join(folder, found[1]))}{found[2] or ''})"

    return OUTSIDE.sub(outside, markdown)

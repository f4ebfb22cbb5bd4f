"""Checks the links of every Markdown page: part of `make check`.

A link to a file needs the file, one to a heading the heading. An external one must be an `https` address, or one of
this machine; it is not requested.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools import markdown
from tools.markdown import ROOT

LOCAL = ("127.0.0.1", "localhost")


def problems(page: Path) -> Iterator[str]:
    """The links of `page` that lead nowhere."""
    for line, target in markdown.links(page):
        wrong = external(target) if urlsplit(target).scheme else internal(page, target)
        if wrong:
            yield f"{page.relative_to(ROOT)}:{line}: {target}: {wrong}"


def external(target: str) -> str:
    """What is wrong with an address, "" if nothing."""
    parts = urlsplit(target)
    if parts.hostname in LOCAL and parts.scheme == "http":
        return ""
    if parts.scheme != "https":
        return "use https"
    return "" if parts.hostname and "." in parts.hostname and " " not in target else "not an address"


def internal(page: Path, target: str) -> str:
    """What is wrong with a link to a file or a heading, "" if nothing."""
    name, _, anchor = unquote(target).partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.is_relative_to(ROOT) or not path.exists():
        return "no such file"
    if anchor and (path.suffix != ".md" or anchor not in markdown.anchors(path)):
        return f"no such heading; there are {', '.join(sorted(markdown.anchors(path)))}"
    return ""


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    pages = markdown.pages()
    found = [problem for page in pages for problem in problems(page)]
    count = sum(1 for page in pages for _ in markdown.links(page))
    print("\n".join([*found, f"{count} links of {len(pages)} pages: {len(found)} lead nowhere"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

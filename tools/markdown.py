"""Reads this project's Markdown: pages, links, headings, code blocks and the comments before them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
IN_HTML = re.compile(r'<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)="([^"]*)"')
COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)
PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block. `mark`: the comment just before it, "" if there is none."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every Markdown file of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [path for name in listed.stdout.split() if (path := ROOT / name).is_file()]


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    mark = ""
    for token in tokens(page):
        if token.type == "fence":
            line = (token.map or [0])[0] + 1
            yield Block(page, line, (token.info.split() or [""])[0], token.content, mark)
        is_comment = token.type == "html_block" and (found := COMMENT.fullmatch(token.content.strip()))
        mark = found[1] if is_comment and found else ""


def links(page: Path) -> Iterator[tuple[int, str]]:
    """The target of each link and picture of a page, with its line."""
    for token in tokens(page):
        line = (token.map or [0])[0] + 1
        if token.type in ("html_block", "inline"):
            yield from ((line, target) for target in IN_HTML.findall(token.content))
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                yield line, str(target)


def inline_code(page: Path) -> Iterator[tuple[int, str]]:
    """The code in the sentences and tables of a page, with its line."""
    for token in tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield (token.map or [0])[0] + 1, child.content


def anchors(page: Path) -> set[str]:
    """The names by which a link reaches the headings of a page, as GitHub and the site make them."""
    found: set[str] = set()
    inside = False
    for token in tokens(page):
        if inside and token.type == "inline":
            text = "".join(child.content for child in token.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(next(n for n in (name, *(f"{name}-{i}" for i in range(1, 99))) if n not in found))
        inside = token.type == "heading_open"
    return found


def tokens(page: Path) -> list[Token]:
    return PARSER.parse(page.read_text(encoding="utf-8"))

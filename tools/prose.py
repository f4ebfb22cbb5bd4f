"""Checks the English of docstrings, comments, messages and Markdown for what a program can see: part of `make check`.

`where` for a condition (by its ratio to `if`), "is no X", words that this project does not use (with the word to use
instead), and lines of over 120 characters in Markdown outside of tables and code.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_RATIO = 1 / 3
MAX_LINE = 120

WORDS = {
    r"(?<!there )(?<!there\n)\bis no (?!longer|more|less)\w+": "is not a …, or: invalid …",
    r"\bfor ever\b": "without limit, permanently",
    r"for who\b|whoever|\bof who\b|\bto who\b": "name them: clients, programs, readers",
    r"nobody|somebody|everybody": "name them: no process, another worker, all hosts",
    r"\banew\b": "again",
    r"by itself|of itself": "automatically, or leave it out",
    r"gives? back|given back|gave back": "release, return",
    r"stands? still|stood still": "is stalled",
    r"\bdoubt\w*": "provisional, invalid, disputed",
    r"believe[sd]?\b|believing": "trust, accept",
    r"\brepair\w*": "backfill",
    r"\btells?\b|\btold\b|\bhears?\b|\bheard\b": "publish, report, receive, read",
    r"\black(s|ed|ing)?\b|\bin vain\b": "missing; without a response",
    r"\bmeanwhile\b|\ball the same\b": "in this time, or leave it out",
    r"\bthat which\b|\bthose of who\b": "the noun",
}
"""Patterns of prose, and what to write instead."""


GENERATED = {"faults.md"}
"""Pages with tables that a program printed: the names in them are those of its code."""


def prose_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a file, each with its line."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def prose_of_markdown(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page outside of code blocks."""
    is_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not (path.name in GENERATED and line.startswith("|")):
            yield number, line


def problems(path: Path, texts: list[tuple[int, str]]) -> Iterator[str]:
    """Words of `texts` that are not used here."""
    for number, text in texts:
        plain = re.sub(r"`[^`]*`|\"[^\"]*\"", "", text)
        for pattern, instead in WORDS.items():
            for found in re.finditer(pattern, plain, re.IGNORECASE):
                line = number + plain.count("\n", 0, found.start())
                yield f"{path.relative_to(ROOT)}:{line}: '{found[0]}': write {instead}"


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    found: list[str] = []
    where = ifs = 0
    for name in listed:
        path = ROOT / name
        if not path.is_file() or name == "CHANGELOG.md":
            continue
        if name.endswith(".md"):
            texts = list(prose_of_markdown(path))
            long = [n for n, line in texts if len(line) > MAX_LINE and not line.lstrip().startswith("|")]
            found += [f"{name}:{n}: longer than {MAX_LINE} characters" for n in long]
        else:
            texts = list(prose_of_python(path))
            words = " ".join(text for _, text in texts).lower()
            where += len(re.findall(r"\bwhere\b", words))
            ifs += len(re.findall(r"\bif\b", words))
        found += problems(path, texts)
    print("\n".join(found), end="\n" if found else "")
    print(f"where : if in docstrings and comments = {where} : {ifs} (at most 1 : {1 / MAX_RATIO:.0f})")
    return 1 if found or where > MAX_RATIO * ifs else 0


if __name__ == "__main__":
    sys.exit(main())

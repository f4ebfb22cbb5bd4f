"""The documentation: links, code blocks, pictures, the site."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from app.cli.arguments import parser
from tests import pictures
from tests.commands import EXECUTED, SHOWN, Command, blocks, commands
from tests.support import ROOT
from tools import links, markdown
from tools.markdown import Block

MAX_NOT_RUN = 15
GENERATED = ("CHANGELOG.md", "cli.md")
"""Pages with the forms of commands, and with what was once true."""

MAX_PICTURE_BYTES = 150_000


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of another project, with a picture and another page beside it."""
    monkeypatch.setattr(markdown, "ROOT", tmp_path)
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A title\n\n## Two words, and `code`\n\n## Two words, and `code`\n")
    (tmp_path / "picture.png").write_bytes(b"")
    return tmp_path / "page.md"


@pytest.mark.parametrize(
    "link",
    [
        "[x](other.md)", "[x](other.md#a-title)", "[x](other.md#two-words-and-code)", "![x](picture.png)", "[x](#here)",
        "[x](other.md#two-words-and-code-1)", "[x](https://example.org/a)", "<http://127.0.0.1:8000>", "`[x](none.md)`",
        '<img src="picture.png">', '<source srcset="picture.png">', "```\n[x](none.md)\n```",
    ],
)  # fmt: skip
def test_a_link_that_leads_somewhere_is_accepted(page: Path, link: str) -> None:
    page.write_text(f"# Here\n\n{link}\n")
    assert list(links.problems(page)) == []


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[x](none.md)", "no such file"), ("[x](other.md#none)", "no such heading"), ("![x](none.png)", "no such file"),
        ("[x](#none)", "no such heading"), ("[x](../out.md)", "no such file"), ("<http://example.org>", "use https"),
        ('<img src="none.png">', "no such file"), ("[x](https://nowhere)", "not an address"),
        ('<source srcset="none.png">', "no such file"), ("| a |\n|---|\n| [x](none.md) |", "no such file"),
    ],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_named_with_its_line(page: Path, link: str, wrong: str) -> None:
    page.write_text(f"# Here\n\n{link}\n")
    (problem,) = links.problems(page)
    assert problem.startswith("page.md:3: " if "|" not in link else "page.md:")
    assert wrong in problem


def test_every_code_block_names_its_language() -> None:
    assert [block.place for block in blocks() if block.language not in (*EXECUTED, *SHOWN)] == []


def test_no_command_hides_in_a_block_that_is_not_executed() -> None:
    typed = ("candlewick ", "curl ", "make ", "python ", "$ ", ".venv/", "pip ", "uvx ", "docker ")
    lines = [(block.place, line) for block in blocks() if block.language in SHOWN for line in block.text.splitlines()]
    assert [place for place, line in lines if line.startswith(typed)] == []


def inline(start: str) -> list[tuple[str, str]]:
    """Code of sentences that begins like this, with its page; examples of a form, such as `candlewick COMMAND`, not."""
    pages = [page for page in markdown.pages() if page.name not in GENERATED]
    code = [(page.name, text) for page in pages for _, text in markdown.inline_code(page)]
    return [(name, text) for name, text in code if text.startswith(start) and not re.search(r"[A-Z]{3,}\b(?!=)", text)]


def test_commands_in_sentences_exist_with_their_arguments() -> None:
    commands = inline("candlewick ")
    assert len(commands) > 5
    assert [(page, text) for page, text in commands if not is_accepted(text)] == []


def is_accepted(text: str) -> bool:
    """Whether the command line takes its arguments."""
    try:
        parser().parse_args(shlex.split(re.split(r" [>|&]", text)[0])[1:])
    except SystemExit as end:
        return not end.code  # --version and --help
    return True


def test_targets_in_sentences_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {(page, text.split()[1]) for page, text in inline("make ")}
    assert len(named) > 10
    assert [(page, name) for page, name in named if name not in targets] == []


def test_commands_that_are_not_executed_are_few_and_have_a_reason() -> None:
    not_run = [command for command in commands() if not command.is_run]
    assert all(len(command.reason) > 10 for command in not_run)
    assert len(not_run) <= MAX_NOT_RUN, [command.block.place for command in not_run]


def test_the_comment_before_a_block_decides_how_it_is_run() -> None:
    def command(mark: str) -> Command:
        return Command.of(Block(ROOT / "README.md", 1, "sh", "curl http://127.0.0.1:8000/x", mark))

    assert command("").is_run
    assert not command("not run: needs\nroot").is_run
    assert command("not run: needs\nroot").reason == "needs root"
    assert command("until: ready").until == "ready"
    assert command("slow, fresh environment: installs").is_fresh
    assert command("slow: takes minutes").is_slow
    assert command("").script({"web": 4711}) == "curl http://127.0.0.1:4711/x"
    for wrong in ("not run", "slow", "skip: because", "run: it"):
        with pytest.raises(ValueError, match=r"README.md:1: "):
            command(wrong)


def test_pictures_show_the_pages_as_they_are_and_are_small() -> None:
    assert pictures.MADE_FROM.read_text().strip() == pictures.sources(), "the pages have changed: make pictures"
    made = {path.stem: path.stat().st_size for path in pictures.IMAGES.glob("*.png")}
    assert set(made) == {name for name, *_ in pictures.PAGES}
    assert max(made.values()) <= MAX_PICTURE_BYTES

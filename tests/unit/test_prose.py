"""The check of the project's English finds what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.prose import ROOT, problems, prose_of_markdown, prose_of_python


@pytest.mark.parametrize(
    "text",
    [
        "'foo' is no product",
        "waits for ever",
        "whoever reads it",
        "nobody reads it",
        "told of a close",
        "it lacks a row",
    ],
)
def test_words_that_are_not_used_here_are_found(text: str) -> None:
    (problem,) = problems(ROOT / "app" / "a.py", [(7, f"A line.\n{text}")])
    assert problem.startswith("app/a.py:8: ")


@pytest.mark.parametrize("text", ["there is no product", "is no longer open", "for every product", "`is no name`"])
def test_plain_sentences_pass(text: str) -> None:
    assert not list(problems(ROOT / "app" / "a.py", [(1, text)]))


def test_docstrings_and_comments_are_read_and_code_is_not(tmp_path: Path) -> None:
    module = tmp_path / "a.py"
    module.write_text('"""One."""\n\nnobody = 1  # two\n\n\ndef f():\n    """Three."""\n    return "four"\n')
    assert sorted(text for _, text in prose_of_python(module)) == ["# two", "One.", "Three."]


def test_blocks_of_code_are_left_out_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("one\n```\ntwo\n```\nthree\n")
    assert [line for _, line in prose_of_markdown(page)] == ["one", "three"]

"""The lists of mutants are up to date, and yield the mutants that they describe."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.mechanical import generated
from tests.mutants.mutant import Mutant, Stale, Target, parsed, targets
from tests.simulation.cures import PAGE, cures, page_with, undetected
from tests.support import ROOT

LIST = """file app/one.py
test tests/one.py
test tests/two.py

a name
- if a:
-     b

+ pass
= why

another
test tests/three.py
- c
+
"""
ALL = targets()


def test_every_listed_cure_is_a_mutant() -> None:
    assert len(cures()) > 50


def test_a_list_is_parsed_to_replacements() -> None:
    (target,) = parsed(LIST.replace("b\n\n+", "b\n+"))
    assert target == Target(
        "app/one.py",
        ("tests/one.py", "tests/two.py"),
        (Mutant("a name", "if a:\n    b", "pass", "why"), Mutant("another", "c", "", tests=("tests/three.py",))),
        {},
    )


def test_a_text_that_does_not_occur_exactly_once_is_stale() -> None:
    assert Mutant("", "a", "b").applied("xay") == "xby"
    for text in ("xy", "aa"):
        with pytest.raises(Stale):
            Mutant("", "a", "b").applied(text)


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.name)
def test_every_listed_mutant_applies(target: Target) -> None:
    text = (ROOT / target.file).read_text(encoding="utf-8")
    for mutant in target.mutants:
        changed = mutant.applied(text)
        assert changed != text
        if target.file.endswith(".py"):
            ast.parse(changed)


def test_names_are_unique_and_tests_exist() -> None:
    for target in ALL:
        assert len({m.name for m in target.mutants}) == len(target.mutants), target.file
        for test in {*target.tests, *(t for m in target.mutants for t in m.tests)}:
            assert (ROOT / test.partition("::")[0]).exists(), test


def test_generated_mutants_compile_and_are_the_same_for_a_seed() -> None:
    text = (ROOT / "app/market/gaps.py").read_text(encoding="utf-8")
    target = Target("app/market/gaps.py", (), (), {})
    some = generated(target, text, 30, seed=1)
    assert len(some) == 30
    assert some == generated(target, text, 30, seed=1) != generated(target, text, 30, seed=2)
    for mutant in some:
        assert ast.dump(ast.parse(mutant.applied(text))) != ast.dump(ast.parse(text)), mutant.name


def test_the_page_of_cures_keeps_what_it_knows_and_adds_results_in_the_order_of_the_list() -> None:
    first, second = (cure.name for cure in cures()[:2])
    page = page_with("# Cures\n\n| without\n", {second: ("none of 1-9", "")})
    page = page_with(page, {second: ("none of 10-20", "")})
    page = page_with(page, {first: ("7", "{'lost': 1}")})
    rows = [f"| {first} | 7 | {{'lost': 1}} |", f"| {second} | none of 1-9, 10-20 |  |"]
    assert page.splitlines()[-2:] == rows
    assert undetected(page) == {cure.name for cure in cures()} - {first}
    assert page_with(page, {second: ("21", "{'wrong': 1}")}).splitlines()[-1] == f"| {second} | 21 | {{'wrong': 1}} |"


def test_the_page_of_cures_names_only_cures_that_there_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with(page, {}) == page, "a cure was renamed: rename its row in docs/cures.md"

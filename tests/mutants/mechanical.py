"""Mutants of a Python file made by rule: any one of its comparisons, conditions, constants and returns."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

from tests.mutants.mutant import Mutant, Target

FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


def generated(target: Target, text: str, count: int, seed: int) -> list[Mutant]:
    """At most `count` of the mutants that the rules make of `text`, chosen by `seed`."""
    listed = list({mutant.name: mutant for mutant in _all(text)}.values())
    return random.Random(f"{seed} {target.file}").sample(listed, min(count, len(listed)))


def _all(text: str) -> Iterator[Mutant]:
    tree, lines = ast.parse(text), text.encode().splitlines(keepends=True)
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        for statement in function.body:
            for node in ast.walk(statement):
                for old, new in _changes(node):
                    if source := ast.get_source_segment(text, old):
                        name = f"{source} -> {new} in: {lines[old.lineno - 1].decode().strip()}"
                        yield Mutant(name, source, new, at=sum(map(len, lines[: old.lineno - 1])) + old.col_offset)


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Expressions to replace at a node, with their replacements."""
    match node:
        case ast.Compare(left, [operator], [right]):
            for other in FLIPPED.get(type(operator), ()):
                yield node, ast.unparse(ast.Compare(left, [other()], [right]))
        case ast.BoolOp(operator, values):
            yield node, ast.unparse(ast.BoolOp(ast.And() if isinstance(operator, ast.Or) else ast.Or(), values))
        case ast.BinOp(left, operator, right) if type(operator) in ARITHMETIC:
            yield node, ast.unparse(ast.BinOp(left, ARITHMETIC[type(operator)](), right))
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            yield node, repr(value + 1)
            if value:
                yield node, repr(value * 2)
                yield node, "0"
        case ast.Constant(bool() as value):
            yield node, repr(not value)
        case ast.If(test) | ast.IfExp(test) | ast.While(test):
            yield test, f"not ({ast.unparse(test)})"
        case ast.Return(ast.expr() as value) if not isinstance(value, ast.Constant):
            yield value, "None"
        case ast.UnaryOp(ast.Not(), operand):
            yield node, ast.unparse(operand)

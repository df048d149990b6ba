"""Wrong programs made of correct ones: a function that returns None, a result that is off by one, swapped branches."""

from __future__ import annotations

import ast
import warnings

OFF_BY_ONE = """

def _changed(value):
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float, complex)):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, (list, tuple)):
        return type(value)([_changed(value[0]), *value[1:]]) if value else type(value)([1])
    if isinstance(value, dict):
        return {**value, "off by one": 1}
    return [value]


_original = NAME


def NAME(*arguments, **named):
    return _changed(_original(*arguments, **named))
"""


def returns_none(name: str) -> str:
    """Return a program whose function returns None."""
    return f"def {name}(*arguments, **named):\n    return None\n"


def off_by_one(program: str, name: str) -> str:
    """Return a program whose function changes each result of the function of a program."""
    return program.rstrip() + OFF_BY_ONE.replace("NAME", name)


def swap_branches(program: str) -> str | None:
    """Return a program with the first `if` negated; None for a program without one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(program)
    branches = [node for node in ast.walk(tree) if isinstance(node, ast.If | ast.IfExp)]
    if not branches:
        return None
    first = min(branches, key=lambda node: (node.lineno, node.col_offset))
    first.test = ast.UnaryOp(ast.Not(), first.test)
    return ast.unparse(ast.fix_missing_locations(tree))


def tested_function(program: str, tests: list[str]) -> str | None:
    """Return the name of the last function of a program that the tests call; None if they call none."""
    names = [node.name for node in ast.parse(program).body if isinstance(node, ast.FunctionDef)]
    called = [name for name in names if any(f"{name}(" in test for test in tests)]
    return called[-1] if called else None

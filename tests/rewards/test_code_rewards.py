"""Programs are graded by the tests of their row, which hardly any wrong program passes."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.rendering import Message
from hrm_align.rewards.base import create
from hrm_align.rewards.code_rewards import code_match
from hrm_align.rewards.interpreter import Program

DATA = Path(__file__).parents[2] / "data" / "code"


def rows(split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{split}.jsonl").read_text(encoding="ascii").splitlines()]


def test_shipped_answers_return_what_python_returns_and_their_tests_expect():
    for split in ("train", "test"):
        for row in rows(split):
            names: dict[str, Any] = {}
            exec(row["response"], names)
            program, call = Program(row["response"]), row["grading"]["call"]
            for arguments, expected in row["grading"]["tests"]:
                assert repr(program.call(call, arguments)) == repr(expected) == repr(names[call](*arguments))


@pytest.mark.parametrize(
    "returned, expected, right",
    [
        ("1", 1, True),
        ("True", 1, False),
        ("1", True, False),
        ("1.0", 1, False),
        ("0.1 + 0.2", 0.3, False),
        ("None", None, True),
        ("'1'", 1, False),
        ("(1, 2)", [1, 2], False),
        ("[1, (2,)]", [1, [2]], False),
        ("[1, [2.0]]", [1, [2]], False),
        ("[1, 2, 3]", [1, 2], False),
        ("{'b': 1, 'a': [2]}", {"a": [2], "b": 1}, True),
        ("{'a': True}", {"a": 1}, False),
        ("{1: 2}", {"1": 2}, False),
        ("range(2)", [0, 1], False),
        ("map(abs, [1])", [1], False),
        ("{}.keys()", [], False),
        ("{1}", [1], False),
        ("f", None, False),
    ],
)
def test_results_are_compared_by_value_and_type(returned: str, expected: Any, right: bool):
    assert code_match(f"def f(): return {returned}", "f", [[[], expected]]) == right


def test_every_test_counts_and_the_name_too():
    tests = [[[1], 2], [[5], 6]]
    assert code_match("def f(x): return x + 1", "f", tests)
    assert not code_match("def f(x): return 2", "f", tests)
    assert not code_match("def g(x): return x + 1", "f", tests)
    assert not code_match("", "f", tests) and not code_match("f", "f", tests)
    assert not code_match("```\ndef f(x): return x + 1\n```", "f", tests)


def example(answer: str, grading: dict[str, Any]) -> Example:
    return Example((Message("user", "?"),), Message("assistant", answer), "direct", "rows:7", "g", grading)


def test_a_row_is_graded_by_its_tests():
    row = example("def f(x): return x * 2", {"call": "f", "tests": [[[1], 2], [[4], 8]]})
    assert create("code", {}).grade("def f(n):\n    return n + n", row)
    assert not create("code", {}).grade("def f(x): return x ** 2", row)
    assert not create("code", {}).grade("def f(x):\n    while True: pass", row)


@pytest.mark.parametrize(
    "grading",
    [
        {},
        {"call": "f"},
        {"tests": [[[1], 2]]},
        {"call": "f", "tests": []},
        {"call": "f", "tests": [[1, 2]]},
        {"call": "f", "tests": [[[1]]]},
        {"call": 3, "tests": [[[1], 2]]},
    ],
)
def test_a_row_without_tests_cannot_be_graded(grading: dict[str, Any]):
    with pytest.raises(UserError, match=r"rows:7.*tests"):
        create("code", {}).grade("def f(x): return 2", example("def f(x): return x * 2", grading))


def test_a_row_whose_own_answer_fails_cannot_be_graded():
    row = example("def f(x): return x * 2", {"call": "f", "tests": [[[1], 2], [[3], 7]]})
    with pytest.raises(UserError, match=r"rows:7.*f\(3\) returns 6 and not 7"):
        create("code", {}).grade("def f(x): return x * 2", row)
    with pytest.raises(UserError, match=r"rows:7.*__import__ is not supported"):
        create("code", {}).grade("", example("def f(x): return __import__('os')", {"call": "f", "tests": [[[1], 2]]}))


SWAPPED_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
SWAPPED_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq)
SWAPPED_NAMES = (("sum", "max", "min", "len"), ("upper", "lower", "title"), ("sorted", "list"))


def mutants(answer: str) -> Iterator[str]:
    """The answer with one thing wrong: an operator, a constant, a name, a method, an order, or a part left out."""
    tree = ast.parse(answer)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    body = function.body[0]
    arguments = tuple(argument.arg for argument in function.args.args)
    for index, node in enumerate(ast.walk(body)):
        for changed in changes(node, arguments):
            wrong = copy.deepcopy(tree)
            target = list(ast.walk(wrong.body[0].body[0]))[index]  # type: ignore[attr-defined]
            for parent in ast.walk(wrong):
                for field, value in ast.iter_fields(parent):
                    if value is target:
                        setattr(parent, field, changed)
                    elif isinstance(value, list) and any(item is target for item in value):
                        setattr(parent, field, [changed if item is target else item for item in value])
            text = ast.unparse(wrong)
            if text != ast.unparse(tree):
                yield text


def changes(node: ast.AST, arguments: tuple[str, ...]) -> Iterator[ast.AST]:
    """What to put in the place of a node."""
    if isinstance(node, ast.operator):
        yield from (kind() for kind in SWAPPED_OPERATORS)
    elif isinstance(node, ast.cmpop):
        yield from (kind() for kind in SWAPPED_COMPARISONS)
    elif isinstance(node, ast.boolop):
        yield ast.And() if isinstance(node, ast.Or) else ast.Or()
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield from (ast.Constant(node.value + shift) for shift in (-1, 1, 10))
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in ("e", "", str(node.value).upper(), str(node.value)[::-1]))
    elif isinstance(node, ast.Name):
        family = next((names for names in (arguments, *SWAPPED_NAMES) if node.id in names), ())
        yield from (ast.Name(name) for name in family)
    elif isinstance(node, ast.BinOp):
        yield from (node.left, node.right)
        if not isinstance(node.op, ast.Add | ast.Mult):
            yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.IfExp):
        yield from (ast.IfExp(node.test, node.orelse, node.body), node.body, node.orelse)
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Subscript):
        yield node.value
        if isinstance(node.slice, ast.Slice) and not node.slice.step:
            yield ast.Subscript(node.value, ast.Slice(node.slice.upper, node.slice.lower))
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield ast.comprehension(node.target, node.iter, [], 0)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield node.func.value
        family = next((names for names in SWAPPED_NAMES if node.func.attr in names), ())
        yield from (ast.Call(ast.Attribute(node.func.value, name), node.args, []) for name in family)


def test_wrong_programs_fail_the_shipped_tests():
    """Of all rows, 99.1 % of 86,000 mutants fail; what is left mostly computes the same."""
    wrong = [(text, row["grading"]) for row in rows("test")[::6] for text in mutants(row["response"])]
    caught = [not code_match(text, grading["call"], grading["tests"]) for text, grading in wrong]
    assert len(wrong) > 1000
    assert sum(caught) / len(wrong) > 0.95


def test_no_name_number_or_letter_of_a_test_answer_occurs_in_a_training_answer():
    python = "def return if else for in and or n upper lower replace count split sorted sum max min abs len"

    def words(split: str) -> set[str]:
        return {word for row in rows(split) for word in re.findall(r"\w+", row["response"])} - set(
            re.findall(r"\w+", python)
        )

    assert words("train") & words("test") == set("0123456789")
    assert len(words("test")) > 300

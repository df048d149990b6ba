"""Hardly any wrong program passes the tests of the shipped code rows."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator

from hrm_align.rewards.code_rewards import passed
from hrm_align.sandbox import Job, Sandbox
from tests.rewards.rows import skip_without_sandbox
from tests.rewards.test_code_rewards import rows

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
    skip_without_sandbox()
    wrong = [(text, shipped["grading"]) for shipped in rows("test")[::12] for text in mutants(shipped["response"])]
    jobs = [Job(text, grading["call"], [given for given, _ in grading["tests"]]) for text, grading in wrong]
    with Sandbox(workers=2) as sandbox:
        outcomes = sandbox.run(jobs)
    caught = [
        not passed(outcome, [expected for _, expected in grading["tests"]])
        for outcome, (_, grading) in zip(outcomes, wrong, strict=True)
    ]
    assert len(wrong) > 600
    assert sum(caught) / len(wrong) > 0.95


def test_no_name_number_or_letter_of_a_test_answer_occurs_in_a_training_answer():
    python = "def return if else for in and or n upper lower replace count split sorted sum max min abs len"

    def words(split: str) -> set[str]:
        return {word for row in rows(split) for word in re.findall(r"\w+", row["response"])} - set(
            re.findall(r"\w+", python)
        )

    assert words("train") & words("test") == set("0123456789")
    assert len(words("test")) > 300

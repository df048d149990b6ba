"""Every test that compares floats within a tolerance is marked `numeric`, so that it runs under other instruction sets.

The check reads the syntax trees of the tests. A helper that compares floats counts for each test and fixture that uses its name, in
any file. `estimates` is left out, because its counts of bytes and operations do not depend on the instruction set.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
COMPARES = {"approx", "allclose", "assert_close", "isclose", "assert_allclose"}
SMALL = 0.01  # an upper limit from 0 to this value counts as a tolerance; limits of shares, counts and times are larger


def is_limit(node: ast.expr) -> bool:
    """Return whether an expression is a small float literal or a name such as TOLERANCE, possibly times a scale."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, float) and 0 < part.value <= SMALL:
            return True
        if optimizer_name(part).startswith("TOLERANCE"):
            return True
    return False


def optimizer_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def has_tolerance(node: ast.AST) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.Compare):
            sides = [part.left, *part.comparators]
            for left, operator, right in zip(sides, part.ops, sides[1:], strict=False):
                upper = right if isinstance(operator, (ast.Lt, ast.LtE)) else left
                if isinstance(operator, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) and is_limit(upper):
                    return True
        if isinstance(part, ast.Call) and optimizer_name(part.func) in COMPARES:
            return True
    return False


@dataclass
class Function:
    """A function at the top level of a file, or a method of a class there."""

    file: str
    name: str
    marked: bool
    tolerant: bool
    names: set[str] = field(default_factory=set)  # names of called functions and of arguments, including fixtures


def is_numeric_mark(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == "numeric" for part in ast.walk(node))


def functions_of(path: Path, source: str) -> Iterator[Function]:
    tree = ast.parse(source)
    whole_file = any(
        isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node.targets[0]) and is_numeric_mark(node.value)
        for node in tree.body
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            marked = whole_file or any(map(is_numeric_mark, node.decorator_list))
            names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            names |= {argument.arg for argument in node.args.args}
            yield Function(str(path), node.name, marked, has_tolerance(node), names)


def imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def unmarked(files: dict[Path, str]) -> list[str]:
    """Return `file::test` of every unmarked test that compares within a tolerance, itself or through a helper."""
    functions = [function for path, source in files.items() for function in functions_of(path, source)]
    shared = {str(path): imported(source) for path, source in files.items()}
    while True:
        helpers = {(f.file, f.name) for f in functions if f.tolerant and not f.name.startswith("test_")}
        everywhere = {name for _, name in helpers}
        changed = False
        for function in functions:
            visible = {name for file, name in helpers if file == function.file}
            visible |= shared[function.file] & everywhere
            if not function.tolerant and function.names & visible:
                function.tolerant = changed = True
        if not changed:
            break
    return [f"{f.file}::{f.name}" for f in functions if f.name.startswith("test_") and f.tolerant and not f.marked]


def test_every_test_with_a_tolerance_is_marked():
    paths = [path.relative_to(TESTS) for path in sorted(TESTS.rglob("*.py"))]
    files = {path: (TESTS / path).read_text(encoding="utf-8") for path in paths if path.parts[0] != "estimates"}
    assert unmarked(files) == [], "put @pytest.mark.numeric on them"


IMPORT = "from tests.helpers import near\n"
HELPER = "def near(a, b):\n    assert abs(a - b) < 1e-6\n"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def test_a():\n    assert loss == pytest.approx(2)", True),
        ("def test_a():\n    assert (a - b).abs().max() <= TOLERANCE * b.max()", True),
        ("def test_a():\n    assert 1e-5 > worst", True),
        ("@pytest.mark.parametrize('n', [1])\n@pytest.mark.numeric\ndef test_a():\n    assert worst < 1e-5", False),
        ("pytestmark = pytest.mark.numeric\ndef test_a():\n    assert worst < 1e-5", False),
        (HELPER + "def test_a():\n    near(1, 2)", True),
        (IMPORT + "def test_a():\n    near(1, 2)", True),
        (HELPER + "def both():\n    near(1, 2)\ndef test_a():\n    both()", True),
        ("def near():\n    assert 1\ndef test_a():\n    near()", False),
        ("def test_a():\n    assert leak == 0 and moved > 1e-3 and share < 0.5 and seconds < 4", False),
    ],
)
def test_what_counts_as_a_tolerance(source, found):
    files = {Path("test_x.py"): source, Path("helpers.py"): HELPER}
    assert bool(unmarked(files)) == found

"""Read the tests of a program from the `grading` column, in the forms of `code_tests` and under the names of public data.

| content | keys |
| --- | --- |
| tests | `tests`, `test_list`, `test`, `test_cases`, `input_output`, `public_test_cases`; or `inputs` and `outputs` |
| function under test | `call`, `entry_point`, `fn_name`, `func_name`; also in `metadata` or beside `inputs` |
| code before the program and the tests | `setup`, `test_imports`, `test_setup_code`, and `prompt` if it is Python |

Other keys are ignored, so the columns of a public data set can be copied unchanged. Tests can also be the JSON text of
any form.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import Row
from hrm_align.rewards.code_tests import CallTests, CodeTests, StreamTests, Tests, parse_json
from hrm_align.rewards.reading import read_program
from hrm_align.sandbox import CheckJob, Limits
from hrm_align.sandbox.inside.program import MODULES

LIMITS = Limits(cpu_seconds=1, wall_seconds=2.5)  # below the 3 seconds of a row, after which the worker would be killed
CACHED_ROWS = 4096  # rows whose tests are remembered, and whose references are remembered as passing
TEST_KEYS = ("tests", "test_list", "test", "test_cases", "input_output", "public_test_cases")
ENTRY_KEYS = ("call", "entry_point", "fn_name", "func_name")
SETUP_KEYS = ("setup", "test_imports", "test_setup_code")
_ENTRY = re.compile(r"[^\W\d]\w*(?:\(\))?(?:\.[^\W\d]\w*(?:\(\))?)*")
_MODULES = tuple(name for name in MODULES.split() if "." not in name and not name.startswith("_"))
_FORMS = (
    'Add "grading": {"call": "f", "tests": [[[1, 2], 3], ...]}, where each test is a list of arguments and a result; or '
    '{"tests": ["assert f(1, 2) == 3", ...]}; or {"test": "def check(candidate): ...", "entry_point": "f"}; or, for '
    'programs that read standard input, {"tests": [{"input": "1 2", "output": "3"}, ...]}.'
)


class _Invalid(Exception):
    """The tests of a row are not valid."""


def read_tests(row: Row) -> Tests:
    """Return the tests of a row.

    Raises:
        UserError: for a row without tests, or with tests that are not valid.
    """
    try:
        reference = build_program(row.reference, row) if row.reference.strip() else ""
        return _read_tests(json.dumps(dict(row.grading)), reference)
    except _Invalid as error:
        raise UserError(f"{row.source}: grading code needs {error}") from None


def build_program(text: str, row: Row) -> str:
    """Return the program of a completion: the program in the text, or the `prompt` of the row with its continuation.

    The text continues the prompt if it begins with an indented line and prompt and text together are Python.
    """
    prompt, body = row.grading.get("prompt"), text.rpartition("</think>")[2].strip("\r\n")
    if isinstance(prompt, str) and body[:1] in (" ", "\t"):
        whole = f"{prompt.rstrip()}\n{body}\n"
        if _parse(prompt) is not None and _parse(whole) is not None:
            return whole
    return read_program(text)


@lru_cache(maxsize=CACHED_ROWS)
def _read_tests(grading_json: str, reference: str) -> Tests:
    grading: dict[str, Any] = json.loads(grading_json)
    tests = next((grading[key] for key in TEST_KEYS if grading.get(key)), None)
    if tests is None and "inputs" in grading:
        tests = grading
    if isinstance(tests, str):
        try:
            tests = parse_json(tests)
        except ValueError:
            tests = [tests]
        tests = [tests] if isinstance(tests, str) else tests
    setup, entry = _read_setup(grading), _read_entry(grading, tests)
    if isinstance(tests, dict):
        tests = _pair_streams(tests)
    if not isinstance(tests, list) or not tests:
        raise _Invalid(f"tests. {_FORMS}")
    if all(isinstance(test, str) for test in tests):
        return _read_code("\n".join(tests), setup, entry, reference)
    if all(isinstance(test, dict) and {"input", "output"} <= test.keys() for test in tests):
        return _read_streams(tests, setup, entry)
    pairs = all(isinstance(test, list) and len(test) == 2 and isinstance(test[0], list) for test in tests)
    if not pairs or entry is None:
        raise _Invalid(f"a function name and tests. {_FORMS}")
    return CallTests(setup, entry, tests)


def _read_entry(grading: Mapping[str, Any], tests: Any) -> str | None:
    """Return the function under test; None if the row names none."""
    metadata = grading.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = parse_json(metadata)
        except ValueError:
            metadata = None
    for place in (grading, tests, metadata):
        for key in ENTRY_KEYS:
            entry = place.get(key) if isinstance(place, dict) else None
            if entry is None or entry == "":
                continue
            if not isinstance(entry, str) or not _ENTRY.fullmatch(entry):
                raise _Invalid(f"the name of a function and tests, and `{key}` is {entry!r:.60}. {_FORMS}")
            return entry
    return None


# --- Calls, standard input and output


def _pair_streams(tests: dict[str, Any]) -> list[dict[str, Any]]:
    inputs, outputs = tests.get("inputs"), tests.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise _Invalid(f"`inputs` and `outputs` as two lists of the same length. {_FORMS}")
    return [{"input": given, "output": expected} for given, expected in zip(inputs, outputs, strict=True)]


def _read_streams(tests: list[dict[str, Any]], setup: str, entry: str | None) -> CallTests | StreamTests:
    kinds = {test.get("testtype", "functional" if entry else "stdin") for test in tests}
    if kinds == {"functional"} and entry:
        calls = [(_read_arguments(test["input"]), _read_value(test["output"])) for test in tests]
        return CallTests(setup, entry, calls, wrapped=True)
    if kinds != {"stdin"}:
        raise _Invalid(f"the name of the function in `fn_name`, for tests of a function. {_FORMS}")
    return StreamTests(
        setup, [(_join_lines(test["input"]), _join_lines(test["output"])) for test in tests], LIMITS.wall_seconds
    )


def _read_arguments(given: Any) -> list[Any]:
    """Return the arguments of a call: a list, or a text with one JSON value a line."""
    if isinstance(given, str):
        return [_read_value(line) for line in given.split("\n") if line.strip()]
    if not isinstance(given, list):
        raise _Invalid(f"the arguments of each call as a list, and an input is {given!r:.60}. {_FORMS}")
    return given


def _read_value(value: Any) -> Any:
    try:
        return parse_json(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _join_lines(value: Any) -> str:
    """Return an input or output as text; a list holds its lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise _Invalid(f"input and output as texts, and one is {value!r:.60}. {_FORMS}")
    return value


# --- Code


def _read_setup(grading: Mapping[str, Any]) -> str:
    """Return the set-up code, without functions and classes that have no body: the program defines those."""
    parts = []
    for key in SETUP_KEYS:
        value = grading.get(key) or ""
        text = "\n".join(value) if isinstance(value, list) and all(isinstance(line, str) for line in value) else value
        if not isinstance(text, str) or _parse(text) is None:
            raise _Invalid(f"Python code in `{key}`, and it is {value!r:.60}. Correct the code.")
        parts.append(text)
    prompt = grading.get("prompt")
    if isinstance(prompt, str) and _parse(prompt) is not None:
        parts.insert(0, prompt)
    tree = _parse("\n".join(parts))
    if tree is None:  # a prompt in prose, such as one word, is no code before other code
        tree = ast.parse("\n".join(parts[1:]))
    tree.body = [statement for statement in tree.body if not _is_stub(statement)]
    return ast.unparse(tree)


def _is_stub(statement: ast.stmt) -> bool:
    """Return whether a statement is a function or class without code, or an expression such as a comment in quotes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inner = [part for part in statement.body if not isinstance(part, ast.Pass)]
        functions = not isinstance(statement, ast.ClassDef) or any(isinstance(part, ast.FunctionDef) for part in inner)
        return functions and all(map(_is_stub, inner))
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant | ast.Name)


def _read_code(code: str, setup: str, entry: str | None, reference: str) -> CodeTests:
    tree = _parse(code)
    if tree is None:
        raise _Invalid(
            f"tests that are Python, and these are not: {_describe_syntax(code)}. Correct the tests. {_FORMS}"
        )
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    own = _defined_names(tree)
    if not any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(tree)):
        raise _Invalid(f"tests with at least one `assert`. {_FORMS}")
    if "check" in own and entry is None and "check" not in calls:
        raise _Invalid(f"`entry_point`, the function that `check(candidate)` tests. {_FORMS}")
    setup_tree = ast.parse(setup)
    of_setup = _defined_names(setup_tree)
    solution = _parse(reference) if reference else None
    of_solution = _defined_names(solution) - of_setup if solution is not None else set()
    nodes = [*ast.walk(tree), *ast.walk(setup_tree)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)} - own - of_setup
    names = {entry.partition("(")[0].partition(".")[0]} if entry else set()
    names |= {name for name in of_solution if hasattr(builtins, name) or name in _MODULES}
    if not names and solution is None and not {name for name in calls - own if not hasattr(builtins, name)}:
        names = set(_first_called(tree))
    classes = {name for name in used | names if (name in of_solution if solution is not None else name[:1].isupper())}
    if solution is not None:
        classes -= {node.name for node in solution.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    tested = names or {name for name in used if not hasattr(builtins, name)}
    job = CheckJob(
        source="",
        setup=setup,
        code=code,
        entry=entry,
        names=sorted(names),
        classes=sorted(classes),
        modules=[name for name in _MODULES if name not in calls],
        shared=[node.name for node in setup_tree.body if isinstance(node, ast.ClassDef)],
    )
    return CodeTests(job, sorted(tested | classes))


def _first_called(tree: ast.Module) -> Iterator[str]:
    """Yield the name of the first function that the tests call, as in `assert sum(1, 2) == 3`."""
    for statement in tree.body:
        called = [
            node.func for node in ast.walk(statement) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        if called:
            yield min(called, key=lambda name: (name.lineno, name.col_offset)).id
            return


def _defined_names(tree: ast.Module) -> set[str]:
    """Return the global names that a module defines."""
    names = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        else:
            names |= {
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
    return names


def _parse(code: str) -> ast.Module | None:
    """Parse Python code; return None for other texts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _describe_syntax(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}, `{(error.text or '').strip():.60}`: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{error}"
    return "they cannot be parsed"

"""Grader for programs, by the tests in the `grading` column of the row.

    {"call": "double", "tests": [[[2], 4], [[0], 0]]}  ->  1.0 for a program whose double(2) is 4 and double(0) is 0

Programs run in the sandbox (`hrm_align.sandbox`). The returned values are compared here, outside the sandbox, so that a
program never has access to the expected results.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hrm_align.errors import RunError, UserError
from hrm_align.rewards.base import Row, check_flag, option
from hrm_align.rewards.reading import block_rule, read_program
from hrm_align.sandbox import Job, Limits, Outcome, Sandbox, SandboxUnavailable
from hrm_align.sandbox.jobs import RETURNED

Tests = Sequence[tuple[Sequence[Any], Any]]  # (arguments, expected result) of each test
LIMITS = Limits(cpu_seconds=1, wall_seconds=2.5)  # below the 3 seconds of a row, after which the worker would be killed
CACHED_ROWS = 4096  # rows whose references are remembered as passing


def same(result: object, expected: object) -> bool:
    """Return whether two values are equal and have the same types at every level.

    `True` differs from 1, 1 from 1.0, and a tuple from a list. Floats must be equal to the last bit. The order of a
    dictionary is ignored.
    """
    if type(result) is not type(expected):
        return False
    if isinstance(result, list) and isinstance(expected, list):
        return len(result) == len(expected) and all(map(same, result, expected))
    if isinstance(result, dict) and isinstance(expected, dict):
        return result.keys() == expected.keys() and all(same(result[key], expected[key]) for key in expected)
    return result == expected


def read_tests(example: Row) -> tuple[str, Tests]:
    """Return the name of the function that the tests of a row call, and the tests.

    Raises:
        UserError: for a row without a function name or without tests.
    """
    call: Any = example.grading.get("call")
    tests: Any = example.grading.get("tests")
    if not isinstance(call, str) or not _are_tests(tests):
        raise UserError(
            f"{example.source}: grading code needs a function name and tests. Add "
            '"grading": {"call": "f", "tests": [[[1, 2], 3], ...]}, where each test is a list of arguments and a result.'
        )
    return call, tests


def _are_tests(tests: object) -> bool:
    if not isinstance(tests, list) or not tests:
        return False
    return all(isinstance(test, list) and len(test) == 2 and isinstance(test[0], list) for test in tests)


@dataclass(frozen=True)
class Code:
    """1 if the function of the program passes the tests in `grading`: `{"call": "f", "tests": [[[1, 2], 3], ...]}`. The
    program is the whole text if that is Python, else all its fenced Python blocks, else the lines from the first `def`,
    `class` or import to the last indented line."""

    sandbox: bool = option(True, "always true; accepted because recipes of earlier versions set it")

    def __post_init__(self) -> None:
        if not check_flag(self.sandbox, "sandbox"):
            raise UserError(
                "invalid value for sandbox: False selected the built-in interpreter, which was removed. Leave the "
                "option out; programs run in the sandbox."
            )

    def prepare(self) -> str | None:
        """Start the sandbox. If no sandbox is available, start pydantic-monty and return a warning.

        Raises:
            UserError: if neither is available.
        """
        return _start_runner().warning

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the sandbox failed.

        Raises:
            UserError: for a row without tests, or whose reference fails them; or if the sandbox cannot be started
                again.
        """
        call, tests = read_tests(row)
        arguments, expected = [given for given, _ in tests], [result for _, result in tests]
        try:
            if row.reference.strip():
                _require_reference(read_program(row.reference), call, json.dumps(tests), row.source)
            (outcome,) = _start_runner().run([Job(read_program(completion), call, arguments)])
        except _SandboxLost:
            return None
        except RunError as error:
            raise UserError(f"{row.source}: the program was not graded: {error}") from None
        verdict = passed(outcome, expected)
        return None if verdict is None else float(verdict)

    def extract_answer(self, completion: str) -> str | None:
        """Return the program (`reading.read_program`)."""
        return read_program(completion)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the program, as in `reading.block_rule`."""
        return block_rule(text, read_program(text))

    def corrupt_reference(self, row: Row) -> str:
        """Return a program that always gives the result of the first test.

        The program gets 1 if all tests expect that result.
        """
        call, ((arguments, expected), *_) = read_tests(row)
        names = ", ".join(f"argument{number}" for number in range(len(arguments)))
        return f"def {call}({names}): return {expected!r}"


class _SandboxLost(Exception):
    """The sandbox failed while it ran a reference, so the reference is neither known to pass nor to fail."""


@lru_cache(maxsize=CACHED_ROWS)
def _require_reference(reference: str, call: str, tests_json: str, source: str) -> None:
    """Check that the reference of a row passes its tests.

    A reference runs once for all completions: successful calls are cached, calls that raise are repeated.

    Raises:
        UserError: if the reference fails the tests of the row.
        _SandboxLost: if the sandbox failed twice.
    """
    tests = json.loads(tests_json)
    (outcome,) = _start_runner().run([Job(reference, call, [given for given, _ in tests])])
    if outcome.kind == "lost":
        raise _SandboxLost
    failure = _describe_failure(outcome, call, tests)
    if failure is not None:
        other_system = ", or use a system on which the sandbox works" if _start_runner().warning else ""
        raise UserError(
            f"{source}: the reference fails the tests of its row: {failure}. Correct the reference or the "
            f"test{other_system}."
        )


def _describe_failure(outcome: Outcome, call: str, tests: Tests) -> str | None:
    """Return a description of the first test that a program failed, or None if it passed all tests."""
    if outcome.kind != RETURNED:
        return outcome.message
    for result, (given, expected) in zip(outcome.values, tests, strict=True):
        if not same(result, expected):
            shown = ", ".join(map(repr, given))
            return f"{call}({shown:.100}) returns {f'{result!r}':.100}, expected {f'{expected!r}':.100}"
    return None


@dataclass(frozen=True)
class _Runner:
    """Function that runs programs, and a warning for the user if that function is not the sandbox."""

    run: Callable[[Iterable[Job]], list[Outcome]]
    warning: str | None = None


@lru_cache(maxsize=1)
def _start_runner() -> _Runner:
    """Start the sandbox of this process, or pydantic-monty. Starts once, since a sandbox tests itself at each start.

    Raises:
        UserError: if no sandbox is available on this system and pydantic-monty is not installed.
    """
    try:
        return _Runner(Sandbox(LIMITS, workers=1).run)
    except SandboxUnavailable as unavailable:
        try:
            from hrm_align.sandbox.monty import Monty

            monty = Monty(LIMITS)
        except ImportError:
            raise unavailable from None
        warning = (
            f"{unavailable.reason}, so code is graded by pydantic-monty, and correct programs get 0 if they use "
            f"a part of Python that pydantic-monty does not support. To grade in the sandbox, {unavailable.remedy}."
        )
        return _Runner(monty.run, warning)


def passed(outcome: Outcome, expected: Sequence[Any]) -> bool | None:
    """Return whether every call returned its expected value, compared by `same`: `True` differs from 1.

    A program that returns a tuple fails, since a tuple is not a JSON value. Without expected values the result is
    False.

    Args:
        outcome: outcome of the job.
        expected: expected value of each call.

    Returns:
        True or False; None if the sandbox failed, so that the program cannot be graded.
    """
    share = share_passed(outcome, expected)
    return None if share is None else share == 1.0


def share_passed(outcome: Outcome, expected: Sequence[Any]) -> float | None:
    """Return the share of calls that returned their expected value; 0.0 for a failed program, None for a lost job."""
    if outcome.kind == "lost":
        return None
    if outcome.kind != RETURNED or not expected or len(outcome.values) != len(expected):
        return 0.0
    return sum(map(same, outcome.values, expected)) / len(expected)

"""Grader for programs, by the tests in the `grading` column of the row.

    {"call": "double", "tests": [[[2], 4], [[0], 0]]}  ->  1.0 for a program whose double(2) is 4 and double(0) is 0

`code_tests` describes the other forms of tests, and the rules of comparison. Programs run in the sandbox
(`hrm_align.sandbox`). Their results are compared outside the process of the program, so that a program never has access
to the expected results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hrm_align.errors import RunError, UserError
from hrm_align.rewards.base import Row, check_flag, option
from hrm_align.rewards.code_reading import CACHED_ROWS, LIMITS, build_program, read_tests
from hrm_align.rewards.code_tests import CallTests, Tests, Verdict
from hrm_align.rewards.reading import block_rule, read_program
from hrm_align.sandbox import Outcome, Sandbox, SandboxUnavailable
from hrm_align.sandbox.jobs import RETURNED, AnyJob


@dataclass(frozen=True)
class Code:
    """1 if the program passes all tests in `grading`: calls with results (`{"call": "f", "tests": [[[1, 2], 3], ...]}`),
    `assert` statements, a `check` function with `entry_point`, or inputs and outputs. Values are compared by Python's
    `==`. The program is the whole text if that is Python, else all its fenced Python blocks, else the lines from the
    first `def`, `class` or import to the last indented line."""

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
        tests = read_tests(row)
        try:
            if row.reference.strip():
                _require_reference(build_program(row.reference, row), tests, row.source)
            verdict = _run(tests, build_program(completion, row), row.source)
        except _SandboxLost:
            return None
        except RunError as error:
            raise UserError(f"{row.source}: the program was not graded: {error}") from None
        return None if verdict.passed is None else float(verdict.passed)

    def extract_answer(self, completion: str) -> str | None:
        """Return the program (`reading.read_program`)."""
        return read_program(completion)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the program, as in `reading.block_rule`."""
        return block_rule(text, read_program(text))

    def corrupt_reference(self, row: Row) -> str:
        """Return a wrong program, which changes the results of the reference or always gives the same result.

        For tests that are calls, the program always gives the result of the first test, so it gets 1 if all tests
        expect that result.
        """
        return read_tests(row).corrupt(build_program(row.reference, row))


class _SandboxLost(Exception):
    """The sandbox failed while it ran a reference, so the reference is neither known to pass nor to fail."""


def _run(tests: Tests, program: str, source: str, private: bool = False) -> Verdict:
    runner = _start_runner()
    if runner.warning is not None and not isinstance(tests, CallTests):
        raise UserError(
            f"{source}: tests that are code, and programs that read standard input, need the sandbox. {runner.warning}"
        )
    return tests.run(program, runner.run, private)


@lru_cache(maxsize=CACHED_ROWS)
def _require_reference(reference: str, tests: Tests, source: str) -> None:
    """Check that the reference of a row passes its tests.

    A reference runs once for all completions: successful calls are cached, calls that raise are repeated.

    Raises:
        UserError: if the reference fails the tests of the row.
        _SandboxLost: if the sandbox failed twice.
    """
    verdict = _run(tests, reference, source, private=True)
    if verdict.passed is None:
        raise _SandboxLost
    if not verdict.passed:
        other_system = ", or use a system on which the sandbox works" if _start_runner().warning else ""
        raise UserError(
            f"{source}: the reference fails the tests of its row: {verdict.failure}. Correct the reference or the "
            f"test{other_system}."
        )


@dataclass(frozen=True)
class _Runner:
    """Function that runs programs, and a warning for the user if that function is not the sandbox."""

    run: Callable[[Iterable[AnyJob]], list[Outcome]]
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
    """Return whether every call returned its expected value, compared by `==`; a list stands for a tuple, too.

    Without expected values the result is False.

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
    return sum(result == value for result, value in zip(outcome.values, expected, strict=True)) / len(expected)

"""Rewards for programs, by the row's tests.

A program is right if its function returns what is expected for known arguments. The comparison stays outside of the sandbox:
a program never meets the answers that are expected of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, checked_flag, option
from hrm_align.rewards.interpreter import Fault, Program
from hrm_align.rewards.text_rewards import visible
from hrm_align.sandbox.jobs import RETURNED, Outcome

Tests = Sequence[tuple[Sequence[Any], Any]]  # arguments and result


def code_match(completion: str, call: str, tests: Tests) -> bool:
    """Whether a function returns the expected result of every test.

    The program is interpreted, in a small part of Python and within fixed limits (`hrm_align.rewards.interpreter`); it is
    not run. A program that is no Python, is not supported, fails, or passes a limit is wrong like any other. Each test
    starts it anew.

    Args:
        completion: the whole program; nothing else may stand in the text.
        call: the function of it to call.
        tests: the arguments of a call and its result, as JSON holds them.
    """
    return failure(completion, call, tests) is None


def failure(completion: str, call: str, tests: Tests) -> str | None:
    """The first test that a program fails and how, or None. Takes what `code_match` takes."""
    try:
        program = Program(completion)
        for arguments, expected in tests:
            result = program.call(call, arguments)
            if not same(result, expected):
                shown = f"returns {result!r}" if isinstance(result, int | str) else f"returns a {type(result).__name__}"
                given = ", ".join(map(repr, arguments))
                return f"{call}({given:.100}) {shown:.100} and not {expected!r:.100}"
    except Fault as fault:
        return str(fault)
    return None


def same(result: object, expected: object) -> bool:
    """The same value of the same type, all the way down.

    `True` is not 1, 1 is not 1.0, a tuple is not a list. Floats must be equal to the last bit, and the order of a
    dictionary does not matter.
    """
    if type(result) is not type(expected):
        return False
    if isinstance(result, list) and isinstance(expected, list):
        return len(result) == len(expected) and all(map(same, result, expected))
    if isinstance(result, dict) and isinstance(expected, dict):
        return result.keys() == expected.keys() and all(same(result[key], expected[key]) for key in expected)
    return result == expected


def tests_of(example: Row) -> tuple[str, Tests]:
    """The function that a row's tests call, and the tests. Raises UserError for a row without them."""
    call: Any = example.grading.get("call")
    tests: Any = example.grading.get("tests")
    if not isinstance(call, str) or not _are_tests(tests):
        raise UserError(
            f"{example.source}: grading code needs the function to call and its tests: "
            '"grading": {"call": "f", "tests": [[[1, 2], 3], ...]}, each the list of the arguments, then the result.'
        )
    return call, tests


def _are_tests(tests: object) -> bool:
    if not isinstance(tests, list) or not tests:
        return False
    return all(isinstance(test, list) and len(test) == 2 and isinstance(test[0], list) for test in tests)


@dataclass(frozen=True)
class Code:
    """1 for a program whose function passes the tests of `grading`: `{"call": "f", "tests": [[[1, 2], 3], ...]}`."""

    sandbox: bool = option(
        False, "run real Python in a sandbox, where the system can wall one off; else interpret a part"
    )

    def __post_init__(self) -> None:
        checked_flag(self.sandbox, "sandbox")

    def prepare(self) -> None:
        """Start the sandbox. Raises UserError if no wall holds on this system."""
        if self.sandbox:
            _sandbox()

    def grade(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the sandbox was lost. Raises UserError for a row without tests, or whose own program fails."""
        call, tests = tests_of(row)
        if not self.sandbox:
            wrong = failure(row.reference, call, tests) if row.reference.strip() else None
            if wrong is not None:
                raise UserError(
                    f"{row.source}: the row's own answer fails its tests: {wrong}. Correct the answer or the test."
                )
            return float(code_match(visible(completion), call, tests))
        from hrm_align.sandbox import Job

        (outcome,) = _sandbox().run([Job(visible(completion), call, [arguments for arguments, _ in tests])])
        right = passed(
            outcome, [expected for _, expected in tests]
        )  # compared here: the program never meets the results
        return None if right is None else float(right)

    def extracted(self, completion: str) -> str | None:
        """The program: the text after all thinking."""
        return visible(completion)

    def corrupted(self, row: Row) -> str:
        """A program that always gives the result of the first test. It passes where the tests expect nothing else."""
        call, ((arguments, expected), *_) = tests_of(row)
        names = ", ".join(f"argument{number}" for number in range(len(arguments)))
        return f"def {call}({names}): return {expected!r}"


@lru_cache(maxsize=1)
def _sandbox() -> Any:
    """The sandbox of this worker, which asks for one program at a time."""
    from hrm_align.sandbox import Sandbox

    return Sandbox(workers=1)


def passed(outcome: Outcome, expected: Sequence[Any]) -> bool | None:
    """Whether every call returned what is expected of it, by `hrm_align.rewards.code_rewards.same`: `True` is not 1.

    A tuple is no JSON value, so a program that returns one has failed, as it has for `match: code`. Nothing to expect is
    nothing passed. None if the job was lost: it cannot be graded.
    """
    share = share_passed(outcome, expected)
    return None if share is None else share == 1.0


def share_passed(outcome: Outcome, expected: Sequence[Any]) -> float | None:
    """The share of the calls that returned what is expected; 0.0 for a failure of any kind, None if the job was lost."""
    if outcome.kind == "lost":
        return None
    if outcome.kind != RETURNED or not expected or len(outcome.values) != len(expected):
        return 0.0
    return sum(map(same, outcome.values, expected)) / len(expected)

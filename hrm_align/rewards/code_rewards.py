"""Rewards for programs, by the tests of the row.

    {"call": "double", "tests": [[[2], 4], [[0], 0]]}  ->  1.0 for a program whose double(2) is 4 and double(0) is 0

Programs run in the sandbox (`hrm_align.sandbox`); what they return is compared here, outside: a program never meets the
results that are expected of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hrm_align.errors import RunError, UserError
from hrm_align.rewards.base import Row, checked_flag, option
from hrm_align.rewards.text_rewards import visible
from hrm_align.sandbox import Job, Limits, NoWall, Outcome, Sandbox
from hrm_align.sandbox.jobs import RETURNED

Tests = Sequence[tuple[Sequence[Any], Any]]  # arguments and result
LIMITS = Limits(cpu_seconds=1, wall_seconds=2.5)  # below a row's 3 seconds in training, which would cost a new sandbox
CACHED_ROWS = 4096  # whose references are known to pass


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

    sandbox: bool = option(True, "always true, and needless: recipes of earlier versions have it")

    def __post_init__(self) -> None:
        if not checked_flag(self.sandbox, "sandbox"):
            raise UserError(
                "`sandbox` is false, which chose the built-in interpreter, and that was removed: leave the option out; "
                "programs run in the sandbox."
            )

    def prepare(self) -> str | None:
        """Start the sandbox, or pydantic-monty, which is worth a warning. Raises UserError if there is neither."""
        return _runner().note

    def grade(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the sandbox was lost.

        Raises:
            UserError: for a row without tests, or whose reference fails them; or if the sandbox cannot be started again.
        """
        call, tests = tests_of(row)
        arguments, expected = [given for given, _ in tests], [result for _, result in tests]
        try:
            if row.reference.strip():
                _require_reference(visible(row.reference), call, json.dumps(tests), row.source)
            (outcome,) = _runner().run([Job(visible(completion), call, arguments)])
        except _Lost:
            return None
        except RunError as error:
            raise UserError(f"{row.source}: the program was not graded: {error}") from None
        right = passed(outcome, expected)
        return None if right is None else float(right)

    def extracted(self, completion: str) -> str | None:
        """The program: the text after all thinking."""
        return visible(completion)

    def corrupted(self, row: Row) -> str:
        """A program that always gives the result of the first test. It passes where the tests expect nothing else."""
        call, ((arguments, expected), *_) = tests_of(row)
        names = ", ".join(f"argument{number}" for number in range(len(arguments)))
        return f"def {call}({names}): return {expected!r}"


class _Lost(Exception):
    """The sandbox was lost over a reference, so nothing is known of it."""


@lru_cache(maxsize=CACHED_ROWS)
def _require_reference(reference: str, call: str, tests_json: str, source: str) -> None:
    """Run a row's reference, once for all its completions: calls that return are cached, calls that raise are not.

    Raises:
        UserError: if it fails the row's tests.
        _Lost: if the sandbox was lost twice.
    """
    tests = json.loads(tests_json)
    (outcome,) = _runner().run([Job(reference, call, [given for given, _ in tests])])
    if outcome.kind == "lost":
        raise _Lost
    fault = _fault(outcome, call, tests)
    if fault is not None:
        elsewhere = ", or grade where a sandbox holds" if _runner().note else ""
        raise UserError(
            f"{source}: the row's own answer fails its tests: {fault}. Correct the answer or the test{elsewhere}."
        )


def _fault(outcome: Outcome, call: str, tests: Tests) -> str | None:
    """The first test that a program failed and how, or None."""
    if outcome.kind != RETURNED:
        return outcome.message
    for result, (given, expected) in zip(outcome.values, tests, strict=True):
        if not same(result, expected):
            shown = ", ".join(map(repr, given))
            return f"{call}({shown:.100}) returns {f'{result!r}':.100} and not {f'{expected!r}':.100}"
    return None


@dataclass(frozen=True)
class _Runner:
    """What runs the programs, and a warning for the user if that is not the sandbox."""

    run: Callable[[Iterable[Job]], list[Outcome]]
    note: str | None = None


@lru_cache(maxsize=1)
def _runner() -> _Runner:
    """What runs the programs of this process, one at a time: started once, since a sandbox is tested at each start.

    Raises:
        UserError: if no wall holds on this system and pydantic-monty is not installed.
    """
    try:
        return _Runner(Sandbox(LIMITS, workers=1).run)
    except NoWall as no_wall:
        try:
            from hrm_align.sandbox.monty import Monty

            monty = Monty(LIMITS)
        except ImportError:
            raise no_wall from None
        note = (
            f"{no_wall.reason}, so code is graded by pydantic-monty: right programs that use what it does not support get 0. "
            f"To grade in the sandbox, {no_wall.remedy}."
        )
        return _Runner(monty.run, note)


def passed(outcome: Outcome, expected: Sequence[Any]) -> bool | None:
    """Whether every call returned what is expected of it, by `hrm_align.rewards.code_rewards.same`: `True` is not 1.

    A tuple is no JSON value, so a program that returns one has failed. Nothing to expect is nothing passed. None if the job
    was lost: it cannot be graded.
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

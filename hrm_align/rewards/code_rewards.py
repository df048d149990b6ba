"""Whether a program does what was asked for, by what its function returns for known arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hrm_align.errors import UserError
from hrm_align.rewards.interpreter import Fault, Program

if TYPE_CHECKING:
    from hrm_align.rewards.base import Row

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


def match_code(completion: str, example: Row) -> bool:
    """`--match code`: by the tests of the row, `"grading": {"call": "f", "tests": [[[1, 2], 3], ...]}`.

    Raises:
        UserError: for a row without tests, or whose own answer, if it has one, fails them.
    """
    call, tests = tests_of(example)
    wrong = failure(example.reference, call, tests) if example.reference.strip() else None
    if wrong is not None:
        raise UserError(
            f"{example.source}: the row's own answer fails its tests: {wrong}. Correct the answer or the test."
        )
    return code_match(completion, call, tests)


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

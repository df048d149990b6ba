"""Tests of a program, as the `grading` column of a row states them, and how each form runs in the sandbox.

Forms of tests:

- calls with their results: `{"call": "f", "tests": [[[1, 2], 3], ...]}`
- code: `{"tests": ["assert f(1, 2) == 3", ...]}`, a list or one text, with imports, loops, and several functions and
  classes of the program
- a function that tests: `{"test": "def check(candidate): ...", "entry_point": "f"}`; functions named `test_...` run, too
- standard input and output: `{"tests": [{"input": "1 2", "output": "3"}, ...]}`
- `{"inputs": [...], "outputs": [...], "fn_name": "f"}`: calls, or without `fn_name` standard input and output

A program passes if it passes all tests. Rules of comparison:

- Values are compared by Python's `==`: `6.0` is 6, and `True` is 1. A tuple that a call returns equals the JSON list of
  its items, since JSON has no tuples. With `fn_name`, an output that is a list of one item also stands for the item, as
  in the public data sets.
- An instance of a class of the program equals nothing, unless the tests themselves name the class.
- Outputs are compared line by line. Whitespace at the end of a line and blank lines at the end are ignored, since they
  cannot be seen. All else counts: `7.0` is not `7`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hrm_align.rewards.base import corrupt_text
from hrm_align.sandbox import CheckJob, Job, Outcome, StdinJob
from hrm_align.sandbox.jobs import RETURNED, AnyJob

Run = Callable[[Iterable[AnyJob]], list[Outcome]]


class Verdict(NamedTuple):
    """Result of the tests of a program: whether it passes, or None if the sandbox failed; and what it failed."""

    passed: bool | None
    failure: str = ""


def _failed(outcome: Outcome) -> Verdict | None:
    """Return the verdict for an outcome without values; None for an outcome with values."""
    if outcome.kind == "lost":
        return Verdict(None, outcome.message)
    return None if outcome.kind == RETURNED else Verdict(False, outcome.message)


@dataclass(frozen=True, eq=False)
class CallTests:
    """Calls of one function, with their results as JSON values.

    Args:
        setup: code that runs before the program.
        call: name of the function.
        tests: arguments and result of each call.
        wrapped: whether a list of one item also stands for the item.
    """

    setup: str
    call: str
    tests: Sequence[tuple[Sequence[Any], Any]]
    wrapped: bool = False

    def run(self, program: str, run: Run, private: bool = False) -> Verdict:
        """Run a program and compare its results, which it never receives."""
        source = f"{self.setup}\n\n{program}" if self.setup else program
        (outcome,) = run([Job(source, self.call, [given for given, _ in self.tests], private)])
        if (verdict := _failed(outcome)) is not None:
            return verdict
        for result, (given, expected) in zip(outcome.values, self.tests, strict=True):
            if not (result == expected or (self.wrapped and [result] == expected)):
                shown = ", ".join(map(repr, given))
                difference = f"returns {f'{result!r}':.100}, expected {f'{expected!r}':.100}"
                return Verdict(False, f"{self.call}({shown:.100}) {difference}")
        return Verdict(True)

    def corrupt(self, reference: str) -> str:
        """Return a program that always gives the result of the first test."""
        ((arguments, expected), *_) = self.tests
        names = ", ".join(f"argument{number}" for number in range(len(arguments)))
        return f"def {self.call}({names}): return {expected!r}"


@dataclass(frozen=True, eq=False)
class CodeTests:
    """Tests that are code.

    Args:
        job: the tests, with an empty program.
        tested: names of the functions and classes under test.
    """

    job: CheckJob
    tested: Sequence[str]

    def run(self, program: str, run: Run, private: bool = False) -> Verdict:
        """Run a program and, in another process, its tests."""
        (outcome,) = run([CheckJob(**{**vars(self.job), "source": program, "private": private})])
        return _failed(outcome) or Verdict(outcome.values == [True], outcome.message)

    def corrupt(self, reference: str) -> str:
        """Return a program whose functions give other results than those of the reference."""
        return _corrupt_functions(reference, self.tested)


@dataclass(frozen=True, eq=False)
class StreamTests:
    """Programs that read standard input and write standard output.

    Args:
        setup: code that runs before the program.
        tests: input and output of each run.
        seconds: wall-clock time of all runs together.
    """

    setup: str
    tests: Sequence[tuple[str, str]]
    seconds: float

    def run(self, program: str, run: Run, private: bool = False) -> Verdict:
        """Run a program on each input until an output is wrong."""
        source = f"{self.setup}\n\n{program}" if self.setup else program
        deadline = time.monotonic() + self.seconds
        for given, expected in self.tests:
            (outcome,) = run([StdinJob(source, given, max(0.01, deadline - time.monotonic()), private)])
            if (verdict := _failed(outcome)) is not None:
                return Verdict(verdict.passed, f"on the input {given!r:.100}: {verdict.failure}")
            (printed,) = outcome.values
            if visible_lines(printed) != visible_lines(expected):
                return Verdict(
                    False, f"prints {printed!r:.100} on the input {given!r:.100}, expected {expected!r:.100}"
                )
        return Verdict(True)

    def corrupt(self, reference: str) -> str:
        """Return a program that prints the output of the first test with one character changed."""
        return f"print({corrupt_text(self.tests[0][1])!r})"


def visible_lines(text: str) -> list[str]:
    """Return the lines of an output without trailing whitespace, and without blank lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: for any other text.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


Tests = CallTests | CodeTests | StreamTests


# Runs the reference in a namespace of its own, so that a recursive function calls its correct version, and hands
# copies of the arguments on, so that a function that changes its arguments is wrong, too.
_WRONG = """
def _make_wrong(function, copy=__import__("copy").deepcopy):
    def wrong(*arguments, **named):
        try:
            result = function(*copy(arguments), **copy(named))
        except Exception:
            return "corrupted"
        if isinstance(result, bool):
            return not result
        for kind, change in ((int, 1), (float, 1), (complex, 1), (str, "1"), (list, [1]), (tuple, (1,))):
            if isinstance(result, kind):
                return result + change
        return "corrupted" if result is None else None
    return wrong


def _load_wrong(source, names):
    space = dict(globals())
    exec(source, space)
    for name, value in space.items():
        if name in names and isinstance(value, type):
            for method, function in list(vars(value).items()):
                if callable(function) and (not method.startswith("__") or method == "__call__"):
                    setattr(value, method, _make_wrong(function))
            globals()[name] = value
        elif name in names and callable(value):
            globals()[name] = _make_wrong(value)
"""


def _corrupt_functions(reference: str, names: Sequence[str]) -> str:
    """Return a program whose functions and methods give wrong results.

    A truth value is inverted; numbers, texts, lists and tuples are changed by 1; all else becomes None.

    Args:
        reference: a correct program; "" if there is none.
        names: names of the functions and classes.
    """
    if not reference.strip():
        return "\n".join(f"def {name}(*arguments, **named): return None" for name in names)
    return f"{_WRONG}\n\n_load_wrong({reference!r}, {list(names)!r})"

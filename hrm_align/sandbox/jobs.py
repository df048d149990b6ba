"""Jobs for the sandbox, and parsing of their outcomes from untrusted output: the program may have written any bytes.

A program can forge its own outcome but cannot affect anything else. Output that is not a valid answer becomes an
outcome of the kind "refused"; parsing never raises an exception.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hrm_align.errors import UserError
from hrm_align.sandbox.inside.channel import PROGRAM_ENDED
from hrm_align.sandbox.inside.program import MAX_DIGITS, MAX_MESSAGE, MAX_NESTING

RETURNED = "returned"
FAILURES = ("raised", "timeout", "memory", "died", "output", "refused", "lost")


@dataclass(frozen=True)
class Job:
    """A program and calls of one of its functions. The calls run in order, and each call executes the program again.

    Args:
        source: text of the program.
        call: name of the function to call.
        arguments: for each call, the list of its arguments as JSON values.
        private: whether no later program may find traces of this job in its memory, as for a reference.
    """

    source: str
    call: str
    arguments: Sequence[Sequence[Any]]
    private: bool = False

    def request(self) -> dict[str, Any]:
        """Return the request for a worker.

        Raises:
            UserError: if an argument is not a JSON value.
        """
        try:
            job = {"source": self.source, "call": self.call, "arguments": [list(given) for given in self.arguments]}
            return {"job": json.dumps(job, allow_nan=False)}
        except (TypeError, ValueError) as error:
            raise UserError(
                f"the arguments of {self.call} are not JSON values: {error}. Use only JSON values."
            ) from error

    def parse(self, end: dict[str, Any], written: bytes) -> Outcome:
        """Build the outcome from the reply of a worker (`parse_outcome`)."""
        return parse_outcome(end, written, len(self.arguments))


@dataclass(frozen=True)
class StdinJob:
    """A program that reads standard input and writes standard output. The value of its outcome is the output.

    Args:
        source: text of the program.
        stdin: the input.
        seconds: wall-clock time, below the sandbox's limit.
        private: as for `Job`.
    """

    source: str
    stdin: str
    seconds: float
    private: bool = False

    def request(self) -> dict[str, Any]:
        """Return the request for a worker."""
        return {"job": json.dumps({"source": self.source}), "stdin": self.stdin, "seconds": self.seconds}

    def parse(self, end: dict[str, Any], written: bytes) -> Outcome:
        """Build the outcome from the reply of a worker."""
        text = written.decode(errors="replace")
        if end["end"] != "exited" or end["status"] < 0:
            return parse_outcome(end, b"", 1)
        if end["status"] > 0:
            message = text.rpartition("\n")[2] or f"exits with code {end['status']}"
            return Outcome("raised", message=_printable(message), seconds=end["seconds"])
        return Outcome(RETURNED, [text], seconds=end["seconds"])


@dataclass(frozen=True)
class CheckJob:
    """A program and tests that are code. The value of its outcome is whether the program passes all tests.

    Args:
        source: text of the program.
        setup: code that runs before the program, and also before the tests. Statements that need the program run
            only before the tests.
        code: the tests.
        entry: name of the function under test, or an expression such as `Solution().solve`; None if there is none.
        names: names that mean those of the program even where `setup` or Python define them.
        classes: names that may be classes of the program, whose instances the tests use.
        modules: modules that the tests can use without an import.
        shared: classes of `setup`, whose instances can be passed in both directions.
        private: as for `Job`.
    """

    source: str
    setup: str
    code: str
    entry: str | None = None
    names: Sequence[str] = ()
    classes: Sequence[str] = ()
    modules: Sequence[str] = ()
    shared: Sequence[str] = ()
    private: bool = False

    def request(self) -> dict[str, Any]:
        """Return the request for a worker, without the tests."""
        job = {"source": self.source, "setup": self.setup, "shared": list(self.shared)}
        return {"job": json.dumps(job), "tests": len(self.tests())}

    def tests(self) -> bytes:
        """Return the tests, which a worker receives over a channel of their own."""
        return json.dumps({name: value for name, value in vars(self).items() if name != "source"}).encode("ascii")

    def parse(self, end: dict[str, Any], written: bytes) -> Outcome:
        """Build the outcome from the reply of a worker."""
        outcome = parse_outcome(end, written, 1)
        if outcome.values == [False] and outcome.message == PROGRAM_ENDED and end["program_timeout"]:
            return Outcome("timeout", message=_TIMEOUT, seconds=end["seconds"])
        return outcome


AnyJob = Job | StdinJob | CheckJob
_TIMEOUT = "the program exceeds its time limit"


@dataclass(frozen=True)
class Outcome:
    """Result of a job: what the program did. `rewards.code_rewards.passed` checks whether the values are correct.

    Args:
        kind: "returned", or the reason why there are no values: the program "raised" an exception, exceeded its time
            limit ("timeout"), its "memory" limit or its "output" limit, "died" without an answer (a signal, an exit),
            or was "refused" because it is not valid Python, is too long, does not define the function, or returns a
            value that JSON cannot represent, such as a tuple. "lost" means that the sandbox itself failed twice in a
            row; the program may be correct.
        values: return value of each call, in the order of the calls: None, bool, int, float, str, list, or dict with
            string keys.
        message: description of the failure. A part of the description may be text of the program.
        seconds: lifetime of the process.
    """

    kind: str
    values: list[Any] = field(default_factory=list)
    message: str = ""
    seconds: float = 0.0


_CLAIMS = (RETURNED, "raised", "memory", "refused")  # kinds that the output of a process may contain


def parse_outcome(end: dict[str, Any], written: bytes, calls: int) -> Outcome:
    """Build the outcome of a job.

    Args:
        end: how the process ended, as reported by the zygote: `end`, `status`, `seconds`.
        written: output of the process, which is not trusted.
        calls: required number of values.
    """
    seconds = end["seconds"]
    if end["end"] == "timeout":
        return Outcome("timeout", message=_TIMEOUT, seconds=seconds)
    if end["end"] == "output":
        return Outcome("output", message="the answer of the program exceeds its size limit", seconds=seconds)
    if end["status"] != 0 or not written:
        return Outcome("died", message=f"the process ended {_describe_status(end['status'])}", seconds=seconds)
    try:
        kind, message, values = _parse_answer(written, calls)
    except (ValueError, RecursionError) as error:
        message = _printable(f"the answer of the program cannot be parsed: {error}")
        return Outcome("refused", message=message, seconds=seconds)
    return Outcome(kind, values, message, seconds)


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"without an answer, with exit code {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _parse_answer(written: bytes, calls: int) -> tuple[str, str, list[Any]]:
    """Parse the output of a process into kind, message and values.

    Raises:
        ValueError: if the output is not a valid answer.
    """
    answer = json.loads(
        written.decode(), parse_constant=_reject_constant, parse_int=_parse_int, parse_float=_parse_float
    )
    if not isinstance(answer, dict) or answer.keys() != {"kind", "message", "values"}:
        raise ValueError("wrong keys")
    kind, message, values = answer["kind"], answer["message"], answer["values"]
    if kind not in _CLAIMS or not isinstance(message, str) or not isinstance(values, list):
        raise ValueError("wrong types")
    if len(values) != (calls if kind == RETURNED else 0):
        raise ValueError(f"{len(values)} values for {calls} calls")
    if _count_levels(values) > MAX_NESTING + 2:  # plus 2 for the list of values and for the innermost items
        raise ValueError("nested too deeply")
    return kind, _printable(message), values


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _parse_int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"an int of more than {MAX_DIGITS} digits")
    return int(text)


def _parse_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _reject_constant(f"{text:.20}")


def _count_levels(value: Any) -> int:
    """Return the number of nesting levels, 1 for a number. Not recursive, since an answer may be deeply nested."""
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            item
            for outer in level
            if isinstance(outer, list | dict)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def _printable(text: str) -> str:
    """Return the start of a text, with a space for each character that controls a terminal or cannot be encoded."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_MESSAGE])

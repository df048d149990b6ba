"""Jobs for the sandbox and their outcomes, read with suspicion: the program may have written what its process says.

It can claim any outcome for itself and nothing else. Whatever is no answer is a failure of a known kind, never an exception.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hrm_align.errors import UserError
from hrm_align.sandbox.inside.program import MAX_DIGITS, MAX_MESSAGE, MAX_NESTING

RETURNED = "returned"
FAILURES = ("raised", "timeout", "memory", "died", "output", "refused", "lost")


@dataclass(frozen=True)
class Job:
    """A program and the calls to make of it, one after another. Each call starts the program anew.

    Args:
        source: the whole program.
        call: the function of it to call.
        arguments: for each call the list of its arguments, as JSON holds them.
    """

    source: str
    call: str
    arguments: Sequence[Sequence[Any]]

    def request(self) -> bytes:
        """The job as it is sent.

        Raises:
            UserError: if an argument is no JSON value.
        """
        try:
            job = {"source": self.source, "call": self.call, "arguments": [list(given) for given in self.arguments]}
            return json.dumps(job, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise UserError(f"the arguments of {self.call} are no JSON values: {error}. Give only those.") from error


@dataclass(frozen=True)
class Outcome:
    """What became of a job. It says what the program did, not whether that is right (`rewards.code_rewards.passed`).

    Args:
        kind: "returned", or why there are no values: the program "raised" an exception, met its "timeout", ran out of
            "memory", "died" without an answer (a signal, an exit), wrote too much "output", or was "refused": it is no
            Python, is too long, does not define the function, or returns what JSON has not, such as a tuple. "lost" is
            the sandbox's own failure, twice in a row, and says nothing of the program.
        values: what each call returned, in their order: None, bool, int, float, str, list, dict with string keys.
        message: the failure in words. Part of it may be the program's own.
        seconds: how long its process lived.
    """

    kind: str
    values: list[Any] = field(default_factory=list)
    message: str = ""
    seconds: float = 0.0


_CLAIMS = (RETURNED, "raised", "memory", "refused")  # what a process can say of itself


def outcome_of(end: dict[str, Any], written: bytes, calls: int) -> Outcome:
    """The outcome of a job.

    Args:
        end: how its process ended, as the zygote tells it.
        written: the process's own words.
        calls: how many values there have to be.
    """
    seconds = end["seconds"]
    if end["end"] == "timeout":
        return Outcome("timeout", message="it takes longer than it may", seconds=seconds)
    if end["end"] == "output":
        return Outcome("output", message="it answers with more bytes than it may", seconds=seconds)
    if end["status"] != 0 or not written:
        return Outcome("died", message=f"its process ended {_manner(end['status'])}", seconds=seconds)
    try:
        kind, message, values = _read(written, calls)
    except (ValueError, RecursionError) as error:
        return Outcome("refused", message=_printable(f"its answer cannot be read: {error}"), seconds=seconds)
    return Outcome(kind, values, message, seconds)


def _manner(status: int) -> str:
    if status >= 0:
        return f"without an answer, with exit code {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _read(written: bytes, calls: int) -> tuple[str, str, list[Any]]:
    answer = json.loads(written.decode(), parse_constant=_refuse, parse_int=_int, parse_float=_float)
    if not isinstance(answer, dict) or answer.keys() != {"kind", "message", "values"}:
        raise ValueError("it is no answer")
    kind, message, values = answer["kind"], answer["message"], answer["values"]
    if kind not in _CLAIMS or not isinstance(message, str) or not isinstance(values, list):
        raise ValueError("it is no answer")
    if len(values) != (calls if kind == RETURNED else 0):
        raise ValueError(f"it has {len(values)} values for {calls} calls")
    if _nesting(values) > MAX_NESTING + 2:  # the list of values, and the innermost items
        raise ValueError("it is nested too deeply")
    return kind, _printable(message), values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"an int of more than {MAX_DIGITS} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(f"{text:.20}")


def _nesting(value: Any) -> int:
    """How many levels there are; 1 for a number. Without recursion, for Python's own depth is the caller's."""
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
    """Without what would move a terminal's cursor or cannot be encoded."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_MESSAGE])

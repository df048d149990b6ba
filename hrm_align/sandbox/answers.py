"""What a job's process has written is read with suspicion: the program may have written it.

It can claim any outcome for itself and nothing else. Whatever is no answer is a failure of a known kind, never an exception.
"""

from __future__ import annotations

import json
import math
import signal
from typing import Any, NoReturn

from hrm_align.sandbox.inside.program import MAX_DIGITS, MAX_MESSAGE, MAX_NESTING
from hrm_align.sandbox.jobs import RETURNED, Outcome

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

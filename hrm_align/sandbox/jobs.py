"""What is asked of the sandbox and what it answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hrm_align.errors import UserError

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
    """What became of a job. It says what the program did, not whether that is right (`grading.passed`).

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

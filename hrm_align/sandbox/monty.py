"""Programs run by pydantic-monty, an interpreter of a part of Python, where the system offers no wall for a sandbox.

It has the interface of `Sandbox.run` and gives the same outcomes, but supports fewer programs: no inheritance, no generator
functions, fewer modules; and its `map` returns a list. Programs get no file, no network, no environment and no function of this process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import files
from typing import Any

from hrm_align.errors import UserError
from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.inside.program import MAX_NESTING
from hrm_align.sandbox.jobs import RETURNED, Job, Outcome, outcome_of

VERSION = "1.4.0"  # the one that was tested; the extra `monty` pins it
_DEPTH = 200  # calls within calls
_GRACE_SECONDS = (
    0.2  # beyond its seconds, for a call that the interpreter does not interrupt itself, before it is killed
)

# Fed before the program, so that it holds the built-in names whatever the program assigns to them. It refuses what
# `inside.program` refuses: values that JSON would not give back as they are. A program that replaces it writes its own
# answer, which is compared like any other.
_WRITER = f"""
import json as _hrm_json
def _hrm_write(value, type=type, list=list, dict=dict, str=str, plain=(bool, int, float, str, type(None)),
               dumps=_hrm_json.dumps, error=ValueError):
    def check(value, depth):
        kind = type(value)
        if depth > {MAX_NESTING}:
            raise error("it returns more than {MAX_NESTING} lists within lists")
        if kind is list:
            for item in value:
                check(item, depth + 1)
        elif kind is dict:
            for key, item in value.items():
                if type(key) is not str:
                    raise error("it returns a dict with a key that is no text")
                check(item, depth + 1)
        elif kind not in plain:
            raise error(f"it returns a {{kind.__name__}}, which JSON has not")
    check(value, 0)
    return dumps(value, allow_nan=False)
"""
# The f-string makes a text within the interpreter's own limits: other values would be copied into this process in full,
# and a list that holds one list many times has no bound there.
_CALL = 'f"{{_hrm_write({call}(*_hrm_given))}}"'


class Monty:
    """Runs programs one after another in processes of pydantic-monty. A context manager.

    Args:
        limits: what one job may use. A call gets what the calls before it have left of the seconds.

    Raises:
        ImportError: if pydantic-monty is not installed.
        UserError: if another version of it is.
    """

    def __init__(self, limits: Limits | None = None):
        import pydantic_monty

        if pydantic_monty.__version__ != VERSION:
            raise UserError(
                f"pydantic-monty is {pydantic_monty.__version__}, and {VERSION} is supported: "
                "pip install 'hrm_align[monty]'."
            )
        self.limits = limits or Limits()
        self._errors = pydantic_monty
        self._pool = pydantic_monty.Monty(
            binary_path=_binary(), max_processes=1, feed_duration_limit_grace=_GRACE_SECONDS
        )
        self._pool.__enter__()

    def __enter__(self) -> Monty:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        self._pool.__exit__(None, None, None)

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        """The outcome of each job, in their order. No program can make this raise.

        Raises:
            UserError: if an argument is no JSON value.
        """
        return [self._run(job) for job in jobs]

    def _run(self, job: Job) -> Outcome:
        job.request()  # raises for what is no JSON
        if len(job.source) > self.limits.characters:
            return Outcome("refused", message=f"the program has more than {self.limits.characters} characters")
        if not job.call.isidentifier():
            return Outcome("refused", message=f"{job.call} is no name of a function")
        start, written = time.monotonic(), list[str]()
        try:
            for given in job.arguments:
                left = self.limits.cpu_seconds - (time.monotonic() - start)
                if left <= 0:
                    return Outcome("timeout", message="it takes longer than it may", seconds=time.monotonic() - start)
                written.append(self._call(job, given, left))
                if sum(map(len, written)) > self.limits.output_bytes:
                    return Outcome("output", message="it answers with more bytes than it may")
        except (self._errors.MontyError, ValueError) as error:  # ValueError: a text that is no UTF-8
            return Outcome(*self._failure(error), seconds=time.monotonic() - start)
        return _outcome(written, len(job.arguments), time.monotonic() - start)

    def _call(self, job: Job, given: Sequence[Any], seconds: float) -> str:
        """What one call returns, as JSON that the program may have written itself. Each call has a new session."""
        limits: Any = {
            "max_feed_duration_secs": seconds,
            "max_memory": self.limits.memory_bytes,
            "max_recursion_depth": _DEPTH,
        }
        with self._pool.checkout(limits=limits, os_policy={"sleep": "zero", "random_start": {"seed": 0}}) as session:
            session.feed_run(_WRITER)
            session.feed_run(job.source, print_callback=_discard)
            inputs = {"_hrm_given": list(given)}
            return session.feed_run(_CALL.format(call=job.call), inputs=inputs, print_callback=_discard)

    def _failure(self, error: Exception) -> tuple[str, list[Any], str]:
        """Kind, values and message of a program that did not return."""
        message = f"{error}"[:200]
        if isinstance(error, self._errors.MontySyntaxError):
            return "refused", [], f"no Python that is supported: {message}"
        if isinstance(error, self._errors.MontyCrashedError):
            return ("timeout" if error.timed_out else "died"), [], message
        kinds = {"MemoryError": "memory", "TimeoutError": "timeout"}
        return kinds.get(message.partition(":")[0], "raised"), [], message


def _binary() -> str:
    """The program that runs programs. The package itself looks where `site` points, which reward workers start without.

    Raises:
        ImportError: if it is not installed.
    """
    for file in files("pydantic-monty-runtime") or ():
        if file.stem == "monty" and "dist-info" not in str(file):
            return str(file.locate())
    raise ImportError("the program of pydantic-monty-runtime is not among its files")


def _discard(stream: str, text: str) -> None:
    """For what a program prints."""


def _outcome(written: Sequence[str], calls: int, seconds: float) -> Outcome:
    """The outcome of texts that a program may have written, read as suspiciously as the sandbox's."""
    ended = {"end": "exited", "status": 0, "seconds": seconds}
    head = json.dumps({"kind": RETURNED, "message": ""})
    answer = f'{head[:-1]}, "values": [{", ".join(written)}]}}'
    return outcome_of(ended, answer.encode(errors="replace"), calls)

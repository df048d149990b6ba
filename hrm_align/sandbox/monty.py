"""Run programs with pydantic-monty, an interpreter for a subset of Python, on systems without a sandbox.

`Monty` has the interface of `Sandbox.run` and gives the same outcomes, but supports fewer programs: no inheritance, no
generator functions, fewer modules, and `map` returns a list. Programs have no access to files, network, environment or
functions of this process.
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
from hrm_align.sandbox.jobs import RETURNED, AnyJob, Job, Outcome, parse_outcome

VERSION = "1.4.0"  # the tested version; the extra `monty` pins it
_DEPTH = 200  # recursion limit of a program
_GRACE_SECONDS = 0.2  # a call that the interpreter does not interrupt at its time limit is killed this much later

# This code runs before the program, and its default arguments keep the built-in names, whatever the program assigns to
# them. Like `inside.program`, the function writes a tuple as a list, and rejects other values that JSON cannot represent. A program that
# replaces the function writes its own answer, and that answer is compared like any other answer.
_WRITER = f"""
import json as _hrm_json
def _hrm_write(value, type=type, list=list, tuple=tuple, dict=dict, str=str, plain=(bool, int, float, str, type(None)),
               dumps=_hrm_json.dumps, error=ValueError):
    def check(value, depth):
        kind = type(value)
        if depth > {MAX_NESTING}:
            raise error("the function returns more than {MAX_NESTING} lists within lists")
        if kind is list or kind is tuple:
            return [check(item, depth + 1) for item in value]
        if kind is dict:
            for key in value:
                if type(key) is not str:
                    raise error("the function returns a dict with a key that is not a string")
            return {{key: check(item, depth + 1) for key, item in value.items()}}
        if kind not in plain:
            raise error(f"the function returns a {{kind.__name__}}, which is not a JSON type")
        return value
    return dumps(check(value, 0), allow_nan=False)
"""
# The f-string converts the result to text within the limits of the interpreter. Other values would be copied into this
# process in full, without a limit, and a list that contains the same list many times can be huge.
_CALL = 'f"{{_hrm_write({call}(*_hrm_given))}}"'


class Monty:
    """Run programs one after another in processes of pydantic-monty. Can be used as a context manager.

    Args:
        limits: limits of one job. All calls of a job share the seconds.

    Raises:
        ImportError: if pydantic-monty is not installed.
        UserError: if an untested version of pydantic-monty is installed.
    """

    def __init__(self, limits: Limits | None = None):
        import pydantic_monty

        if pydantic_monty.__version__ != VERSION:
            raise UserError(
                f"pydantic-monty has the version {pydantic_monty.__version__}, and only {VERSION} is supported. "
                "Run pip install 'hrm_align[monty]'."
            )
        self.limits = limits or Limits()
        self._errors = pydantic_monty  # module with the exception classes
        self._pool = pydantic_monty.Monty(
            binary_path=_find_binary(), max_processes=1, feed_duration_limit_grace=_GRACE_SECONDS
        )
        self._pool.__enter__()

    def __enter__(self) -> Monty:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the processes."""
        self._pool.__exit__(None, None, None)

    def run(self, jobs: Iterable[AnyJob]) -> list[Outcome]:
        """Run jobs and return their outcomes, in the order of the jobs. A failing program never raises an exception.

        Raises:
            UserError: if an argument is not a JSON value.
        """
        return [self._run(job) for job in jobs]

    def _run(self, job: AnyJob) -> Outcome:
        assert isinstance(job, Job), "the grader refuses other tests where there is no sandbox"
        job.request()  # raises UserError for arguments that are not JSON
        if len(job.source) > self.limits.characters:
            return Outcome("refused", message=f"the program has more than {self.limits.characters} characters")
        if not job.call.isidentifier():
            return Outcome("refused", message=f"{job.call} is not a valid function name")
        start, written = time.monotonic(), list[str]()
        try:
            for given in job.arguments:
                left = self.limits.cpu_seconds - (time.monotonic() - start)
                if left <= 0:
                    seconds = time.monotonic() - start
                    return Outcome("timeout", message="the program exceeds its time limit", seconds=seconds)
                written.append(self._call(job, given, left))
                if sum(map(len, written)) > self.limits.output_bytes:
                    return Outcome("output", message="the answer of the program exceeds its size limit")
        except (self._errors.MontyError, ValueError) as error:  # ValueError: the text cannot be encoded as UTF-8
            return Outcome(*self._classify_failure(error), seconds=time.monotonic() - start)
        return _parse_values(written, len(job.arguments), time.monotonic() - start)

    def _call(self, job: Job, given: Sequence[Any], seconds: float) -> str:
        """Run one call in a new session. Return its result as JSON, which the program may have forged."""
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

    def _classify_failure(self, error: Exception) -> tuple[str, list[Any], str]:
        """Return kind, values and message of the outcome for an exception of the interpreter."""
        message = f"{error}"[:200]
        if isinstance(error, self._errors.MontySyntaxError):
            return "refused", [], f"not valid Python, or not supported: {message}"
        if isinstance(error, self._errors.MontyCrashedError):
            return ("timeout" if error.timed_out else "died"), [], message
        kinds = {"MemoryError": "memory", "TimeoutError": "timeout"}
        return kinds.get(message.partition(":")[0], "raised"), [], message


def _find_binary() -> str:
    """Return the path of the interpreter's executable.

    The search of pydantic-monty itself relies on the module `site`, which reward workers do not load.

    Raises:
        ImportError: if the executable is not installed.
    """
    for file in files("pydantic-monty-runtime") or ():
        if file.stem == "monty" and "dist-info" not in str(file):
            return str(file.locate())
    raise ImportError("the package pydantic-monty-runtime does not contain its executable")


def _discard(stream: str, text: str) -> None:
    """Discard the printed output of a program."""


def _parse_values(written: Sequence[str], calls: int, seconds: float) -> Outcome:
    """Build the outcome from the JSON texts of the calls, with the same checks as for the sandbox."""
    ended = {"end": "exited", "status": 0, "seconds": seconds}
    head = json.dumps({"kind": RETURNED, "message": ""})
    answer = f'{head[:-1]}, "values": [{", ".join(written)}]}}'
    return parse_outcome(ended, answer.encode(errors="replace"), calls)

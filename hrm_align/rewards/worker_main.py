"""Worker process that computes rewards for `hrm_align.rewards.workers`; it may hang, crash or be killed at any time.

    python -I -S worker_main.py DESCRIPTOR

The file is run by its path and starts with only the standard library, in about 50 ms. The process forks under a
guardian before it imports anything large, which is why imports stand inside functions. Requests and replies are lines
of JSON over the socket DESCRIPTOR:

    {"path": [...], "rewards": [["math", {}], ["format", {"tags": ["think"]}]]}      ->  {"warnings": []}
    {"path": [...], "file": "mine.py", "function": "reward"}                         ->  {"fault": "no such file"}
    {"reward": 0, "rows": [{"completion": "4", "reference": "4", ...}]}              ->  {"values": [1.0], "bad": {}, "why": {}},
        or {"kind": "raised", "detail": "mine.py:7: KeyError: 'x'"}

A reward that grades all rows of a call at once (`hrm_align.rewards.base.BatchGrader`) is alone in its worker. Its first
request also has `"folder"`, and its replies also have `"faults": {"0": ["timeout", "..."]}` and `"usage": {"requests": 1}`.

Each line has the `"id"` of its request (`hrm_align.processes`). The first request is one of the first two forms, and
all later requests have the third form. `bad` maps the index of a row to a description of a value that is not a number,
and `why` maps the index of a row to the reason why the row cannot be graded. The reply to a request with
`"extract": true` also has `"extracted"`: for each row the text that was graded, or null. A request with `"doubt": true`
grades nothing; its reply has `"doubts"`: index of a row -> kind and sentence of a doubt about its reference.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

MEMORY_BYTES = 4 * 2**30  # address space of a worker for built-in rewards: 10 ** 10 ** 10 must not fill the machine
DETAIL_CHARACTERS = 300  # length of the description of a failure
DOUBT_CHARACTERS = 600  # length of a doubt, which quotes a reference
REFUSAL_CHARACTERS = 2_000  # length of the error of a reward that cannot be started, which lists what to install
COLUMNS = ("messages", "reference", "condition", "group", "grading", "source")  # in addition to prompts and completions

Row = Mapping[str, Any]


class Loaded(NamedTuple):
    """A reward that is ready to be called.

    Args:
        grade: takes rows; returns unchecked values, and index of a row -> reason why the row cannot be graded. A
            batch grader also returns further keys of the reply.
        extract_answer: returns the graded text of a completion, for display; None for a user-defined reward.
        warning: a warning for the user.
        doubt: returns the kind and the sentence of a doubt about the reference of a row, or None.
    """

    grade: Callable[[Sequence[Row]], tuple[Any, ...]]
    extract_answer: Callable[[str], str | None] | None = None
    warning: str | None = None
    doubt: Callable[[Row], tuple[str, str] | None] | None = None


def _import_without_package() -> None:
    """Make `hrm_align.rewards` importable without `hrm_align/__init__.py`, which imports torch (8 seconds, 400 MB)."""
    package = types.ModuleType("hrm_align")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["hrm_align"] = package


def _limit_memory() -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _disable_core_dumps() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Answer requests until the trainer closes the channel."""
    _import_without_package()
    from hrm_align.rewards.guardian import fork_under_guard

    fork_under_guard()
    _disable_core_dumps()
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    requests = channel.makefile("r", encoding="ascii", newline="\n")

    def reply(request: Mapping[str, Any], message: Mapping[str, Any]) -> None:
        channel.sendall(json.dumps({"id": request["id"], **message}).encode("ascii") + b"\n")

    start = json.loads(next(requests))
    sys.path[:] = start["path"]
    try:
        rewards = load(start)
        if "rewards" in start:
            _limit_memory()
    except Failure as failure:
        reply(start, {"fault": failure.detail})
        return
    reply(start, {"warnings": [reward.warning for reward in rewards if reward.warning]})
    for line in requests:
        request = json.loads(line)
        reward, rows = rewards[request["reward"]], request["rows"]
        if request.get("doubt"):
            reply(request, find_doubts(reward, rows))
        else:
            reply(request, serve(reward, rows, bool(request.get("extract"))))


class Failure(Exception):
    """A call of a reward failed. `kind` is one of `hrm_align.rewards.scoring.KINDS`."""

    def __init__(self, kind: str, detail: str, characters: int = DETAIL_CHARACTERS):
        super().__init__(detail)
        self.kind, self.detail = kind, detail[:characters]


def load(start: Mapping[str, Any]) -> list[Loaded]:
    """Load the rewards of a worker: the named built-in rewards, or one function of a file.

    Args:
        start: the first request, with the key `rewards`, or with the keys `file` and `function`.

    Raises:
        Failure: if loading raises any exception.
    """
    try:
        if "file" in start:
            return [_load_file(start["file"], start["function"])]
        from hrm_align.rewards.base import create_grader

        return [_load_grader(create_grader(name, options), start.get("folder")) for name, options in start["rewards"]]
    except Failure:
        raise
    except BaseException as error:  # also SystemExit from sys.exit()
        from hrm_align.errors import UserError

        detail = str(error) if isinstance(error, UserError) else _describe_error(error, start.get("file"))
        raise Failure("died", detail, REFUSAL_CHARACTERS) from None


def serve(reward: Loaded, rows: Sequence[Row], extract: bool = False) -> dict[str, Any]:
    """Call a reward and return the reply.

    Args:
        reward: the reward.
        rows: JSON objects, one for each completion.
        extract: whether the reply shall contain the graded text of each completion.

    Returns:
        `{"values", "bad", "why"}`, with `extract` also `"extracted"`; or `{"kind", "detail"}` if the reward failed.
    """
    try:
        values, why, *more = reward.grade(rows)
        numbers, bad = _check_values(values, len(rows))
        texts = {"extracted": [_extract_answer(reward, row["completion"]) for row in rows]} if extract else {}
    except Failure as failure:
        return {"kind": failure.kind, "detail": failure.detail}
    except BaseException as error:  # also SystemExit from sys.exit()
        return {"kind": "raised", "detail": _describe_error(error, None)[:DETAIL_CHARACTERS]}
    return {"values": numbers, "bad": bad, "why": why, **dict(*more), **texts}


def find_doubts(reward: Loaded, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the reply to a request for doubts. A row whose check raises an exception has no doubt."""
    doubts = {}
    for index, row in enumerate(rows):
        try:
            doubt = reward.doubt(row) if reward.doubt is not None else None
        except Exception:
            continue
        if doubt is not None:
            doubts[index] = [doubt[0], doubt[1][:DOUBT_CHARACTERS]]
    return {"values": [None] * len(rows), "bad": {}, "why": {}, "doubts": doubts}


def _extract_answer(reward: Loaded, completion: str) -> str | None:
    """Return the graded text of a completion, or None. An exception gives None, since the row already has its value."""
    try:
        return reward.extract_answer(completion) if reward.extract_answer is not None else None
    except Exception:
        return None


def _load_grader(grader: Any, folder: str | None = None) -> Loaded:
    from hrm_align.errors import UserError
    from hrm_align.rewards.references import grade_row

    if hasattr(grader, "grade_batch"):
        return Loaded(lambda rows: _grade_batch(grader, rows), grader.extract_answer, grader.prepare(folder))
    warning = getattr(grader, "prepare", lambda: None)()
    doubt_reference = getattr(grader, "doubt_reference", lambda row: None)

    def grade(rows: Sequence[Row]) -> tuple[Any, dict[int, str]]:
        values, why = [], {}
        for index, row in enumerate(rows):
            try:
                value, reason = grade_row(grader, row["completion"], types.SimpleNamespace(**row))
            except UserError as error:
                value, reason = None, str(error)
            values.append(value)
            if reason is not None:
                why[index] = reason[:DETAIL_CHARACTERS]
        return values, why

    def doubt(row: Row) -> tuple[str, str] | None:
        return doubt_reference(types.SimpleNamespace(**row))

    return Loaded(grade, grader.extract_answer, warning, doubt)


def _grade_batch(grader: Any, rows: Sequence[Row]) -> tuple[Any, ...]:
    grades = grader.grade_batch(rows)
    faults = {row: (kind, detail[:DETAIL_CHARACTERS]) for row, (kind, detail) in grades.faults.items()}
    return grades.values, {}, {"faults": faults, "usage": dict(grades.usage)}


def _load_file(file: str, name: str) -> Loaded:
    import importlib.util
    import inspect

    sys.path.insert(0, str(Path(file).parent))  # the file can import modules from its folder
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None, "`RewardSpec` requires a file name that ends with .py"
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise Failure("died", f"the file has no function {name!r}, only {', '.join(functions) or 'none'}")
    accepted = _accepted_columns(function, name)

    def grade(rows: Sequence[Row]) -> tuple[Any, dict[int, str]]:
        columns = {key: [row[key] for row in rows] for key in COLUMNS}
        columns["completions"] = [row["completion"] for row in rows]
        columns["prompts"] = [row["messages"][-1]["content"] for row in rows]
        try:
            return function(**{key: columns[key] for key in accepted}), {}
        except BaseException as error:
            raise Failure("raised", _describe_error(error, file)) from None

    return Loaded(grade)


def _accepted_columns(function: Callable[..., Any], name: str) -> list[str]:
    import inspect

    known = ["prompts", "completions", *COLUMNS]
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return known
    for parameter in parameters:
        if parameter.name not in known and parameter.default is parameter.empty:
            raise Failure(
                "died",
                f"the parameter {parameter.name!r} of {name} is not a column. Use {', '.join(known)}, or **columns",
            )
    return [parameter.name for parameter in parameters if parameter.name in known]


def _check_values(values: Any, n: int) -> tuple[list[float | None], dict[int, str]]:
    """Convert the values of a reward to finite numbers or None.

    Args:
        values: return value of the reward.
        n: number of completions.

    Returns:
        One number or None for each completion; and index of an invalid value -> its description.

    Raises:
        Failure: if `values` is not a list of `n` values.
    """
    if hasattr(values, "tolist"):  # an array or a tensor
        values = values.tolist()
    if not isinstance(values, list | tuple):
        detail = f"the reward returned {_describe_value(values)} for {n} completions. Return a list of numbers"
        raise Failure("wrong_length", detail)
    if len(values) != n:
        detail = f"the reward returned {len(values)} values for {n} completions. Return one value for each completion"
        raise Failure("wrong_length", detail)
    numbers: list[float | None] = []
    bad: dict[int, str] = {}
    for index, value in enumerate(values):
        number = _to_number(value)
        numbers.append(number)
        if number is None and value is not None:
            bad[index] = (
                f"the reward returned {_describe_value(value)}. Return a finite number, or None for a completion that "
                "cannot be graded"
            )
    return numbers, bad


def _to_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _describe_value(value: Any) -> str:
    if value is None:
        return "None"
    shown = f" {value[:40]!r}" if isinstance(value, str) else f" {value}" if isinstance(value, bool | float) else ""
    return f"{type(value).__name__}{shown}"


def _describe_error(error: BaseException, file: str | None) -> str:
    """Describe an exception as `mine.py:7: KeyError: 'x'`, with the innermost line of the traceback inside the file."""
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if file and frame.filename == file]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{where}{type(error).__name__}: {message}"[:DETAIL_CHARACTERS]


if __name__ == "__main__":
    main()

"""The process that computes rewards for `hrm_align.rewards.workers`. It may hang, crash or be killed at any time.

    python -I -S worker_main.py DESCRIPTOR

It is run by its path with the standard library alone (some 50 ms), forks under a guardian before it imports anything large
(so imports stand inside functions), and speaks lines of JSON over that socket:

    {"path": [...], "rewards": [["math", {}], ["format", {"tags": ["think"]}]]}      ->  {"notes": []}
    {"path": [...], "file": "mine.py", "function": "reward"}                         ->  {"fault": "no such file"}
    {"reward": 0, "rows": [{"completion": "4", "reference": "4", ...}]}              ->  {"values": [1.0], "bad": {}, "why": {}},
        or {"kind": "raised", "detail": "mine.py:7: KeyError: 'x'"}

each with the `"id"` of the request (`hrm_align.processes`). The first line is one of the first two, all others are the third.
`bad` tells of values that are no numbers, `why` of rows that cannot be graded, both by the place of the row. A request with
`"extract": true` gets `"extracted"`, too: for each row the text that the grader read of the completion, or null.
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

MEMORY_BYTES = 4 * 2**30  # of a worker for the toolkit's own rewards: 10 ** 10 ** 10 must not take the machine's
DETAIL_CHARACTERS = 300
REFUSAL_CHARACTERS = 2_000  # of a reward that cannot be started: it names what to install
COLUMNS = ("messages", "reference", "condition", "group", "grading", "source")  # beside prompts and completions

Row = Mapping[str, Any]


class Loaded(NamedTuple):
    """A reward, ready to be called.

    Args:
        grade: rows in; values that are still to be checked out, and why rows by their place cannot be graded.
        extracted: what it reads of a completion, for people; None of a user's own reward, of which nobody knows.
        note: a warning for the user.
    """

    grade: Callable[[Sequence[Row]], tuple[Any, dict[int, str]]]
    extracted: Callable[[str], str | None] | None = None
    note: str | None = None


def _import_without_package() -> None:
    """Make `hrm_align.rewards` importable without `hrm_align` itself, which imports torch: 8 seconds and 400 MB."""
    package = types.ModuleType("hrm_align")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["hrm_align"] = package


def _limit_memory() -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _leave_no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash would leave a file


def main() -> None:
    """Answer requests until the other end closes."""
    _import_without_package()
    from hrm_align.rewards.guardian import fork_under_guard

    fork_under_guard()
    _leave_no_core()
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
    reply(start, {"notes": [reward.note for reward in rewards if reward.note]})
    for line in requests:
        request = json.loads(line)
        reply(request, serve(rewards[request["reward"]], request["rows"], bool(request.get("extract"))))


class Failure(Exception):
    """A call that gave no values. `kind` is one of `hrm_align.rewards.suite.KINDS`."""

    def __init__(self, kind: str, detail: str, characters: int = DETAIL_CHARACTERS):
        super().__init__(detail)
        self.kind, self.detail = kind, detail[:characters]


def load(start: Mapping[str, Any]) -> list[Loaded]:
    """The rewards of a worker: those of the toolkit that it names, or the one function of a file.

    Raises:
        Failure: if that cannot be done, whatever the file does.
    """
    try:
        if "file" in start:
            return [_of_file(start["file"], start["function"])]
        from hrm_align.rewards.base import create

        return [_of_toolkit(create(name, options)) for name, options in start["rewards"]]
    except Failure:
        raise
    except BaseException as error:  # sys.exit() too
        from hrm_align.errors import UserError

        told = str(error) if isinstance(error, UserError) else _told(error, start.get("file"))
        raise Failure("died", told, REFUSAL_CHARACTERS) from None


def serve(reward: Loaded, rows: Sequence[Row], extract: bool = False) -> dict[str, Any]:
    """Call a reward. The reply: the values of its rows and, if requested, what it read of them; or how it failed."""
    try:
        values, why = reward.grade(rows)
        numbers, bad = _checked(values, len(rows))
        read = {"extracted": [_extracted(reward, row["completion"]) for row in rows]} if extract else {}
    except Failure as failure:
        return {"kind": failure.kind, "detail": failure.detail}
    except BaseException as error:  # sys.exit() too
        return {"kind": "raised", "detail": _told(error, None)[:DETAIL_CHARACTERS]}
    return {"values": numbers, "bad": bad, "why": why, **read}


def _extracted(reward: Loaded, completion: str) -> str | None:
    """What the reward read, or None. A failure here costs the row nothing: it has been graded."""
    try:
        return reward.extracted(completion) if reward.extracted is not None else None
    except Exception:
        return None


def _of_toolkit(grader: Any) -> Loaded:
    from hrm_align.errors import UserError

    note = getattr(grader, "prepare", lambda: None)()

    def grade(rows: Sequence[Row]) -> tuple[Any, dict[int, str]]:
        values, why = [], {}
        for place, row in enumerate(rows):
            try:
                values.append(grader.grade(row["completion"], types.SimpleNamespace(**row)))
            except UserError as error:
                values.append(None)
                why[place] = str(error)[:DETAIL_CHARACTERS]
        return values, why

    return Loaded(grade, grader.extracted, note)


def _of_file(file: str, name: str) -> Loaded:
    import importlib.util
    import inspect

    sys.path.insert(0, str(Path(file).parent))  # so that it finds its neighbours
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None, "`RewardSpec` has seen that it is a .py"
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        named = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise Failure("died", f"it has no function {name!r}: its functions are {', '.join(named) or 'none'}")
    taken = _columns_taken(function, name)

    def grade(rows: Sequence[Row]) -> tuple[Any, dict[int, str]]:
        columns = {key: [row[key] for row in rows] for key in COLUMNS}
        columns["completions"] = [row["completion"] for row in rows]
        columns["prompts"] = [row["messages"][-1]["content"] for row in rows]
        try:
            return function(**{key: columns[key] for key in taken}), {}
        except BaseException as error:
            raise Failure("raised", _told(error, file)) from None

    return Loaded(grade)


def _columns_taken(function: Callable[..., Any], name: str) -> list[str]:
    import inspect

    known = ["prompts", "completions", *COLUMNS]
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return known
    for parameter in parameters:
        if parameter.name not in known and parameter.default is parameter.empty:
            raise Failure("died", f"{name} takes {parameter.name!r}, which no row has: there are {', '.join(known)}")
    return [parameter.name for parameter in parameters if parameter.name in known]


def _checked(values: Any, n: int) -> tuple[list[float | None], dict[int, str]]:
    """Finite numbers or None, and what each value was that is neither."""
    if hasattr(values, "tolist"):  # an array or a tensor
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise Failure("wrong_length", f"it returned {_named(values)} for {n} completions: return a list of numbers")
    if len(values) != n:
        raise Failure("wrong_length", f"it returned {len(values)} values for {n} completions: return one for each")
    numbers: list[float | None] = []
    bad: dict[int, str] = {}
    for place, value in enumerate(values):
        number = _number(value)
        numbers.append(number)
        if number is None and value is not None:
            bad[place] = f"it returned {_named(value)}: return a finite number, or None for what cannot be graded"
    return numbers, bad


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _named(value: Any) -> str:
    if value is None:
        return "None"
    shown = f" {value[:40]!r}" if isinstance(value, str) else f" {value}" if isinstance(value, bool | float) else ""
    return f"{type(value).__name__}{shown}"


def _told(error: BaseException, file: str | None) -> str:
    """`mine.py:7: KeyError: 'x'`, the line being the last one in the file itself."""
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

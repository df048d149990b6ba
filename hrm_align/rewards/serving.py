"""Inside a worker: loading rewards, calling them, and making plain numbers or a typed failure of what they do."""

from __future__ import annotations

import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hrm_align.errors import UserError

DETAIL_CHARACTERS = 300
COLUMNS = ("messages", "reference", "condition", "group", "grading", "source")  # beside prompts and completions

Row = Mapping[str, Any]
# Rows in; values that are still to be checked out, and why rows by their place cannot be graded.
Grader = Callable[[Sequence[Row]], tuple[Any, dict[int, str]]]


class Failure(Exception):
    """A call that gave no values. `kind` is one of `hrm_align.rewards.scores.KINDS`."""

    def __init__(self, kind: str, detail: str):
        super().__init__(detail)
        self.kind, self.detail = kind, detail[:DETAIL_CHARACTERS]


def load(start: Mapping[str, Any]) -> list[Grader]:
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
        raise Failure("died", _told(error, start.get("file"))) from None


def serve(grader: Grader, rows: Sequence[Row]) -> dict[str, Any]:
    """Call a reward. The values of its rows, or what went wrong, as `worker` puts them."""
    try:
        values, why = grader(rows)
        numbers, bad = _checked(values, len(rows))
    except Failure as failure:
        return {"kind": failure.kind, "detail": failure.detail}
    except BaseException as error:  # sys.exit() too
        return {"kind": "raised", "detail": _told(error, None)[:DETAIL_CHARACTERS]}
    return {"values": numbers, "bad": bad, "why": why}


def _of_toolkit(reward: Callable[[str, Any], float | None]) -> Grader:
    getattr(reward, "prepare", lambda: None)()

    def grade(rows: Sequence[Row]) -> tuple[Any, dict[int, str]]:
        values, why = [], {}
        for place, row in enumerate(rows):
            try:
                values.append(reward(row["completion"], SimpleNamespace(**row)))
            except UserError as error:
                values.append(None)
                why[place] = str(error)[:DETAIL_CHARACTERS]
        return values, why

    return grade


def _of_file(file: str, name: str) -> Grader:
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

    return grade


def _columns_taken(function: Callable[..., Any], name: str) -> list[str]:
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
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if file and frame.filename == file]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{where}{type(error).__name__}: {message}"[:DETAIL_CHARACTERS]

"""The registry of graders, their options, and one reward of a recipe: which grader, how much it counts, its options.

One registry serves rewards, `--match`, evaluations, guards, exports, pass@k and the preflight:

    create("math", {}).grade("so 4", row)  ->  1.0 or 0.0; None if the row cannot be graded

Graders are dataclasses whose fields are the options of a recipe: declared, checked, and listed for people. Each class is
imported when it is requested. `corrupted` changes a reference into a wrong answer, to check that a grader tells them apart.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from hrm_align.errors import UserError


class Row(Protocol):
    """What a grader may read beside the completion. `hrm_align.data.examples.Example` has it."""

    @property
    def reference(self) -> str:
        """The row's own answer."""

    @property
    def source(self) -> str:
        """`file:line`."""

    @property
    def grading(self) -> Mapping[str, Any]:
        """The row's `grading` column."""


class Grader(Protocol):
    """A dataclass of its options that grades one completion.

    It may define `prepare`, called once in a worker process, which may return a warning for the user.
    """

    def grade(self, completion: str, row: Row) -> float | None:
        """The value; None if the row cannot be graded. Raises UserError for such a row, too, to say why."""

    def extracted(self, completion: str) -> str | None:
        """What it reads of a completion, for people: the final answer, say. None if that is nothing, or all of it."""


@runtime_checkable
class Verifiable(Grader, Protocol):
    """A grader that gives 1 to the reference of every row that it can grade, and 0 to a wrong answer.

    It may have a class attribute `needs`: what a reference must be, for the error of a row that gets None.
    """

    def corrupted(self, row: Row) -> str:
        """A wrong answer, as close to the reference as possible; the reference must be gradable."""


def option(default: Any, help: str) -> Any:
    """A field of a grader that a recipe can set."""
    return field(default=default, metadata={"help": help})


def options_of(reward: type) -> list[tuple[str, Any, str]]:
    """Name, default and help of each option."""
    return [
        (item.name, None if item.default is MISSING else item.default, item.metadata["help"])
        for item in fields(reward)
        if item.init
    ]


def nearest(word: str, known: Sequence[str]) -> str:
    """What to say of a name that does not exist."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def checked_number(value: Any, name: str, least: float = 0.0) -> float:
    """The value of an option that must be a number. Raises UserError if it is none, or below the least."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise UserError(f"`{name}` is {value!r}: give a number, {least:g} or more.")
    return value


def checked_flag(value: Any, name: str) -> bool:
    """The value of an option that must be true or false. Raises UserError if it is neither."""
    if not isinstance(value, bool):
        raise UserError(f"`{name}` is {value!r}: give true or false.")
    return value


def compiled(pattern: Any, name: str = "pattern", groups: int | None = None) -> re.Pattern[str]:
    """A regular expression. Raises UserError if it is none, or has another number of groups than asked for."""
    if not isinstance(pattern, str) or not pattern:
        raise UserError(f"`{name}` is {pattern!r}: give a regular expression.")
    try:
        found = re.compile(pattern, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f"`{name}` is {pattern!r}, which is no regular expression ({error}).") from None
    if groups is not None and found.groups != groups:
        raise UserError(
            f"`{name}` is {pattern!r} with {found.groups} groups: it needs {groups}, in parentheses, around the answer; "
            "other parentheses begin with (?:."
        )
    return found


GRADERS = {
    "math": "hrm_align.rewards.math_rewards:Math",
    "exact": "hrm_align.rewards.text_rewards:Exact",
    "numeric": "hrm_align.rewards.text_rewards:Numeric",
    "answer": "hrm_align.rewards.text_rewards:Answer",
    "json": "hrm_align.rewards.json_rewards:Json",
    "json_fields": "hrm_align.rewards.json_rewards:JsonFields",
    "sql": "hrm_align.rewards.sql_rewards:Sql",
    "code": "hrm_align.rewards.code_rewards:Code",
    "format": "hrm_align.rewards.text_rewards:Format",
    "length": "hrm_align.rewards.text_rewards:Length",
}


def reward_class(name: str) -> type:
    """The class of a grader. Raises UserError for a name that does not exist."""
    if name not in GRADERS:
        hint = nearest(str(name), list(GRADERS))
        raise UserError(f"there is no reward {name!r}: {hint}The rewards are {', '.join(GRADERS)}, or give a `file`.")
    module, attribute = GRADERS[name].split(":")
    return getattr(import_module(module), attribute)


@lru_cache
def match_names() -> tuple[str, ...]:
    """The graders that can evaluate answers (`--match`): those that tell a right answer from a wrong one."""
    return tuple(name for name in GRADERS if issubclass(reward_class(name), Verifiable))


def check_match(name: str, setting: str = "match") -> str:
    """The name, if it is one of `match_names`. Raises UserError that names the nearest one."""
    if fault := match_fault(name):
        raise UserError(f"{setting} {fault}.")
    return name


def match_fault(name: str) -> str | None:
    """Why a grader cannot evaluate answers, to follow the name of a setting; None if it can."""
    if name in match_names():
        return None
    usable = f"use one of {', '.join(match_names())}"
    if name in GRADERS:
        return (
            f"is {name!r}, which looks at the form of an answer and cannot tell a right one from a wrong one: {usable}"
        )
    return f"is {name!r}, which is no grader: {nearest(str(name), match_names())}{usable}"


def metric_name(grader: str) -> str:
    """The name of a grader's score in logs, results and model cards: `exact_match`, `sql_match`."""
    return f"{grader}_match"


def create(name: str, options: Mapping[str, Any]) -> Grader:
    """A grader with its options. Raises UserError for an option that does not exist or a value that cannot be."""
    kind = reward_class(name)
    known = [option for option, _, _ in options_of(kind)]
    for option in options:
        if option not in known:
            has = f"It has {', '.join(known)}." if known else "It has none."
            raise UserError(f"the reward {name} has no option `{option}`: {nearest(str(option), known)}{has}")
    try:
        return kind(**options)
    except UserError as error:
        raise UserError(f"the reward {name}: {error}") from None


KEYS = ("name", "file", "function", "weight", "label")


@dataclass(frozen=True)
class RewardSpec:
    """One reward of a suite.

    Args:
        name: one of `hrm_align.rewards.base.GRADERS`; of a user's own, the function.
        weight: it counts with; 0 only looks at it, less than 0 punishes.
        options: those of the named reward.
        file: Python file of a user's own reward; `hrm_align.rewards.suite` says what the function is given.
        label: its name in logs, if not `name`. Needed to use a reward twice.

    Raises:
        UserError: for a name, an option or a value that cannot be.
    """

    name: str
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    file: str | None = None
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name)
        weight = self.weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise UserError(f"the reward {self.label} has the weight {weight!r}: give a number, such as 1 or 0.2.")
        if not isinstance(self.label, str):
            raise UserError(f"a reward has the label {self.label!r}: give a text.")
        if self.file is None:
            create(self.name, self.options)
        elif not isinstance(self.file, str) or not self.file.endswith(".py") or not os.path.isfile(self.file):
            raise UserError(
                f"the reward file is {self.file!r}: there is no such Python file. Give its path, as mine.py."
            )

    @property
    def function(self) -> str | None:
        """The function of a user's own reward."""
        return self.name if self.file is not None else None

    @classmethod
    def of(cls, entry: str | Mapping[str, Any]) -> RewardSpec:
        """Read an entry of a recipe.

        It is a name (`math`), a name with options (`{name: format, weight: 0.2, tags: [think]}`), or a function of the
        user's own (`{file: mine.py, function: reward, weight: 1}`; the function is `reward` if it is not named).

        Raises:
            UserError: for an unknown name or key, with the nearest one, or a value that cannot be.
        """
        if isinstance(entry, str):
            return cls(entry)
        if not isinstance(entry, Mapping) or not ("name" in entry) ^ ("file" in entry):
            raise UserError(
                f"a reward is {entry!r}: give a name such as math, or an object with either `name` or `file`, as in "
                "{name: format, weight: 0.2, tags: [think]} or {file: mine.py, function: reward}."
            )
        rest = {key: value for key, value in entry.items() if key not in KEYS}
        common = {"weight": entry.get("weight", 1.0), "label": entry.get("label", "")}
        if "file" not in entry:
            if "function" in entry:
                raise UserError(f"the reward {entry['name']} has a `function`, which goes with `file`: leave it out.")
            return cls(entry["name"], options=rest, **common)
        if rest:
            key = str(next(iter(rest)))
            raise UserError(
                f"the reward of {entry['file']} has the key `{key}`: {nearest(key, KEYS)}"
                "The keys are file, function, weight and label; other settings belong into the file."
            )
        return cls(entry.get("function", "reward"), file=entry["file"], **common)


_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"\\[A-Za-z]+|(?P<letter>[A-Za-z])")  # not of a LaTeX command


def changed_text(text: str) -> str:
    """The text with its first digit changed, else its first letter, else with more text.

    One place alone: 1/1 with every digit changed might be 2/2.

    >>> changed_text("so 52"), changed_text("wolf"), changed_text("?")
    ('so 62', 'xolf', '?1')
    """
    digit = _DIGIT.search(text)
    if digit:
        return text[: digit.start()] + str(int(digit[0]) % 9 + 1) + text[digit.end() :]
    for found in _LETTER.finditer(text):
        if found["letter"]:
            following = {"z": "a", "Z": "A"}.get(found[0], chr(ord(found[0]) + 1))
            return text[: found.start()] + following + text[found.end() :]
    return text + "1"


def restated(answer: str, wrong: str, text: str, pattern: str | None) -> str:
    """A statement of a wrong answer: in a box, or in place of the answer in the text in which a pattern has found it."""
    return f"\\boxed{{{wrong}}}" if pattern is None else text.replace(answer, wrong)


def changed_json(value: Any) -> Any:
    """The value with everything in it changed that is no list or object; what is empty gets something."""
    if isinstance(value, dict):
        return {key: changed_json(item) for key, item in value.items()} or {"corrupted": True}
    if isinstance(value, list):
        return [changed_json(item) for item in value] or ["corrupted"]
    if isinstance(value, bool) or value is None:
        return "corrupted"
    return changed_text(value) if isinstance(value, str) else value + 1

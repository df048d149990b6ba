"""Registry of graders, their options, and `RewardSpec`: one reward of a recipe (grader, weight, options).

Rewards, `--match`, evaluations, guards, exports, pass@k and the preflight all take their graders from this registry:

    create_grader("math", {}).grade("so 4", row)  ->  1.0 or 0.0; None if the row cannot be graded

A grader is a dataclass whose fields are the options that a recipe can set. Options are checked when the grader is
created and listed by `hrm-align rewards`. Each class is imported on first use. A verifiable grader also turns a
reference into a wrong answer (`corrupt_reference`), which the preflight uses to check that wrong answers get 0. A row may
have several references (`hrm_align.rewards.references`); a grader sees one at a time.
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
    """The part of a data row that a grader reads; `hrm_align.data.examples.Example` implements this protocol."""

    @property
    def reference(self) -> str:
        """The reference answer of the row."""

    @property
    def source(self) -> str:
        """The place of the row: `file:line`."""

    @property
    def grading(self) -> Mapping[str, Any]:
        """The content of the row's `grading` column."""


class Grader(Protocol):
    """Grade single completions; implementations are dataclasses whose fields are the options.

    A grader may define more methods, all of which run in a worker process:

    - `prepare()`, called once, may return a warning for the user.
    - `grade_with_reason(completion, row)` returns a value and a reason or None. Where it is defined, it is called
      instead of `grade`, so that a value such as 0 can have a reason (`Scores.why`).
    - `doubt_reference(row)` returns a kind (`preflight.DOUBTS`) and a sentence if the reference can be graded, but may
      not be what the row means; None otherwise. The preflight reports doubts as warnings.
    """

    def grade(self, completion: str, row: Row) -> float | None:
        """Return the value of a completion, or None if the row cannot be graded.

        Raises:
            UserError: if the row cannot be graded and the grader can state the reason.
        """

    def extract_answer(self, completion: str) -> str | None:
        """Return the text that was graded, for display: the final answer, say; None for no text or the whole text."""


@runtime_checkable
class Verifiable(Grader, Protocol):
    """Grader that gives 1 to the reference of every gradable row, and 0 to a wrong answer.

    A class attribute `needs` may describe what a reference must be; errors about rows with the value None show `needs`.
    A method `reading_rule(text)` may name the rule that finds the answer (`hrm_align.rewards.reading`), and
    `corrupt_otherwise(row)` may return another wrong answer, for references whose first corruption is equal.
    """

    def corrupt_reference(self, row: Row) -> str:
        """Return a wrong answer that is as close to the reference as possible; the reference must be gradable."""


@dataclass(frozen=True)
class BatchGrades:
    """What a `BatchGrader` returns.

    Args:
        values: one for each row; None without a value.
        faults: index of a row -> kind of failure (`hrm_align.rewards.scoring.KINDS`) and description, at most 300 characters;
            -1 for a failure that concerns no single row.
        usage: what the call used, by name; logged as `rewards/usage/...`.
    """

    values: list[float | None]
    faults: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)


def add_usage(*parts: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the sums of what judges used: name of the judge -> name of the count -> sum."""
    whole: dict[str, dict[str, float]] = {}
    for part in parts:
        for judge, counts in part.items():
            sums = whole.setdefault(judge, {})
            for name, count in counts.items():
                sums[name] = sums.get(name, 0) + count
    return whole


@runtime_checkable
class BatchGrader(Grader, Protocol):
    """Grader that gets all rows of a call at once, in a worker process of its own, and has a time limit of its own.

    `prepare` of a batch grader receives the folder of the run, or None.
    """

    @property
    def batch_seconds(self) -> float:
        """Time limit for `grade_batch`, in seconds."""

    def grade_batch(self, rows: Sequence[Mapping[str, Any]]) -> BatchGrades:
        """Grade rows; a row that cannot be graded in time is a fault and has no value."""


def option(default: Any, help: str) -> Any:
    """Return a dataclass field that a recipe can set as an option of a grader."""
    return field(default=default, metadata={"help": help})


def list_options(reward: type) -> list[tuple[str, Any, str]]:
    """Return name, default and help text of each option of a grader class."""
    return [
        (item.name, None if item.default is MISSING else item.default, item.metadata["help"])
        for item in fields(reward)
        if item.init
    ]


def suggest_name(word: str, known: Sequence[str]) -> str:
    """Return "did you mean ...? " with the closest known name, or "" if no known name is close."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def check_number(value: Any, name: str) -> float:
    """Return the value of a numeric option.

    Raises:
        UserError: if the value is not a finite number, or is below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UserError(f"invalid value for {name}: {value!r}. Use a number that is 0 or more.")
    return value


def check_flag(value: Any, name: str) -> bool:
    """Return the value of a boolean option.

    Raises:
        UserError: if the value is neither true nor false.
    """
    if not isinstance(value, bool):
        raise UserError(f"invalid value for {name}: {value!r}. Use true or false.")
    return value


def check_pattern(pattern: Any, groups: int | None = None) -> None:
    """Check the regular expression of the option `pattern`; None for no pattern.

    Raises:
        UserError: if the pattern is not a regular expression, or does not have the required number of groups.
    """
    if pattern is None:
        return
    if not isinstance(pattern, str) or not pattern:
        raise UserError(f"invalid value for pattern: {pattern!r}. Use a regular expression.")
    try:
        regex = re.compile(pattern, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f"invalid value for pattern: {pattern!r} is not a regular expression ({error}). Correct the expression."
        ) from None
    if groups is not None and regex.groups != groups:
        raise UserError(
            f"invalid value for pattern: {pattern!r} has {regex.groups} capturing groups and needs {groups}. Put the "
            "answer in parentheses, and begin all other parentheses with (?:."
        )


GRADERS = {
    "math": "hrm_align.rewards.math_rewards:Math",
    "exact": "hrm_align.rewards.text_rewards:Exact",
    "numeric": "hrm_align.rewards.text_rewards:Numeric",
    "answer": "hrm_align.rewards.text_rewards:Answer",
    "choice": "hrm_align.rewards.choice_rewards:Choice",
    "json": "hrm_align.rewards.json_rewards:Json",
    "json_fields": "hrm_align.rewards.json_rewards:JsonFields",
    "json_schema": "hrm_align.rewards.json_rewards:JsonSchemaValid",
    "tool_calls": "hrm_align.rewards.tool_rewards:ToolCalls",
    "sql": "hrm_align.rewards.sql_rewards:Sql",
    "code": "hrm_align.rewards.code_rewards:Code",
    "format": "hrm_align.rewards.text_rewards:Format",
    "length": "hrm_align.rewards.text_rewards:Length",
    "judge": "hrm_align.rewards.judge_rewards:Judge",
    "reward_model": "hrm_align.rewards.model_rewards:RewardModel",
}


def reward_class(name: str) -> type:
    """Import and return the class of a grader.

    Raises:
        UserError: for an unknown name; the error suggests the closest one.
    """
    if name not in GRADERS:
        hint = suggest_name(str(name), list(GRADERS))
        raise UserError(
            f"unknown reward {name!r}: {hint}Use one of {', '.join(GRADERS)}, or your own Python function with `file`."
        )
    module, attribute = GRADERS[name].split(":")
    return getattr(import_module(module), attribute)


@lru_cache
def match_names() -> tuple[str, ...]:
    """Return the graders for `--match`: those that distinguish correct answers from wrong ones."""
    return tuple(name for name in GRADERS if issubclass(reward_class(name), Verifiable))


def check_match(name: str, setting: str = "match") -> str:
    """Return the name if it is one of `match_names`.

    Raises:
        UserError: for any other name; the error suggests the closest one.
    """
    if fault := match_fault(name):
        raise UserError(f"{setting} {fault}.")
    return name


def match_fault(name: str) -> str | None:
    """Return why a grader cannot evaluate answers, worded to follow the name of a setting; None if the grader can."""
    if name in match_names():
        return None
    usable = f"use one of {', '.join(match_names())}"
    if name in ("judge", "reward_model"):
        return f"is {name!r}, whose scores depend on a model and have no correct value: {usable}"
    if name in GRADERS:
        return f"is {name!r}, which checks the form of an answer and not whether the answer is correct: {usable}"
    return f"is {name!r}, which is not a grader: {suggest_name(str(name), match_names())}{usable}"


def metric_name(grader: str) -> str:
    """Return the name of a grader's score in logs, results and model cards: `exact_match`, `sql_match`."""
    return f"{grader}_match"


def create_grader(name: str, options: Mapping[str, Any]) -> Grader:
    """Create a grader with its options.

    Raises:
        UserError: for an unknown grader, an unknown option or an invalid value.
    """
    kind = reward_class(name)
    known = [option for option, _, _ in list_options(kind)]
    for option in options:
        if option not in known:
            remedy = f"Use {', '.join(known)}." if known else "Leave the option out; this reward takes no options."
            raise UserError(f"the reward {name} has no option {option}: {suggest_name(str(option), known)}{remedy}")
    try:
        return kind(**options)
    except UserError as error:
        raise UserError(f"the reward {name}: {error}") from None


SPEC_KEYS = ("name", "file", "function", "weight", "label")


@dataclass(frozen=True)
class RewardSpec:
    """One reward of a suite.

    Args:
        name: one of `hrm_align.rewards.base.GRADERS`; with `file`, the name of the function in that file.
        weight: factor of the reward in the total. 0 only records the values; a negative weight punishes.
        options: options of the named grader.
        file: Python file of a user-defined reward; `hrm_align.rewards.suite` describes the function's arguments.
        label: name in logs, by default `name`. Required to use one grader twice.

    Raises:
        UserError: for an unknown name or option, or an invalid value.
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
            raise UserError(
                f"invalid value for the weight of the reward {self.label}: {weight!r}. Use a number, such as 1 or 0.2."
            )
        if not isinstance(self.label, str):
            raise UserError(f"invalid value for the label of a reward: {self.label!r}. Use a text.")
        if self.file is None:
            create_grader(self.name, self.options)
        elif not isinstance(self.file, str) or not self.file.endswith(".py") or not os.path.isfile(self.file):
            raise UserError(
                f"invalid value for the file of a reward: {self.file!r} is not an existing Python file. Use a path "
                "such as mine.py."
            )

    @property
    def function(self) -> str | None:
        """Name of the function in `file`; None for a built-in reward."""
        return self.name if self.file is not None else None

    @classmethod
    def of(cls, entry: str | Mapping[str, Any]) -> RewardSpec:
        """Build the spec from an entry of a recipe.

        Args:
            entry: a name (`math`); a name with options (`{name: format, weight: 0.2, tags: [think]}`); or a
                user-defined function (`{file: mine.py, function: reward, weight: 1}`, where `function` defaults to
                `reward`).

        Raises:
            UserError: for an unknown name or key, with a suggestion of the closest one, or for an invalid value.
        """
        if isinstance(entry, str):
            return cls(entry)
        if not isinstance(entry, Mapping) or not ("name" in entry) ^ ("file" in entry):
            raise UserError(
                f"invalid reward: {entry!r}. Use a name such as math, or an object with either `name` or `file`, as in "
                "{name: format, weight: 0.2, tags: [think]} or {file: mine.py, function: reward}."
            )
        rest = {key: value for key, value in entry.items() if key not in SPEC_KEYS}
        common = {"weight": entry.get("weight", 1.0), "label": entry.get("label", "")}
        if "file" not in entry:
            if "function" in entry:
                raise UserError(
                    f"the reward {entry['name']} has the key `function`, which is only valid with `file`. Leave "
                    "`function` out."
                )
            return cls(entry["name"], options=rest, **common)
        if rest:
            key = str(next(iter(rest)))
            raise UserError(
                f"the reward of {entry['file']} has the unknown key `{key}`: {suggest_name(key, SPEC_KEYS)}"
                "Use only file, function, weight and label, and write other settings into the Python file."
            )
        return cls(entry.get("function", "reward"), file=entry["file"], **common)


_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"\\[A-Za-z]+|(?P<letter>[A-Za-z])")  # the group matches only letters outside LaTeX commands


def corrupt_text(text: str) -> str:
    """Return the text with its first digit changed, or else its first letter, or else with a 1 appended.

    Only one place changes: 1/1 with every digit changed might become 2/2, which is equal.

    >>> corrupt_text("so 52"), corrupt_text("wolf"), corrupt_text("?")
    ('so 62', 'xolf', '?1')
    """
    if digit := _DIGIT.search(text):
        return text[: digit.start()] + str(int(digit[0]) % 9 + 1) + text[digit.end() :]
    for match in _LETTER.finditer(text):
        if match["letter"]:
            following = {"z": "a", "Z": "A"}.get(match[0], chr(ord(match[0]) + 1))
            return text[: match.start()] + following + text[match.end() :]
    return text + "1"


def state_answer(answer: str, wrong: str, text: str, pattern: str | None) -> str:
    """Return a text that states a wrong answer.

    Args:
        answer: the correct answer, as extracted from `text`.
        wrong: the wrong answer to state.
        text: the reference.
        pattern: the pattern that extracted `answer`. With a pattern, `wrong` replaces `answer` in `text`; without one,
            the result is a box that holds `wrong`.
    """
    return f"\\boxed{{{wrong}}}" if pattern is None else text.replace(answer, wrong)


def corrupt_json(value: Any) -> Any:
    """Return the JSON value with every scalar changed; an empty list or object gets an item."""
    if isinstance(value, dict):
        return {key: corrupt_json(item) for key, item in value.items()} or {"corrupted": True}
    if isinstance(value, list):
        return [corrupt_json(item) for item in value] or ["corrupted"]
    if isinstance(value, bool) or value is None:
        return "corrupted"
    if isinstance(value, float):
        return value / 2 if value + 1 == value else value + 1  # 1e300 + 1 is 1e300
    return corrupt_text(value) if isinstance(value, str) else value + 1

"""Rewards are dataclasses, and their fields are the options of a recipe: declared, checked, and listed for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, field, fields
from difflib import get_close_matches
from typing import Any, Protocol, runtime_checkable

from hrm_align.errors import UserError


class Row(Protocol):
    """What a reward may read beside the completion. `hrm_align.data.examples.Example` has it."""

    @property
    def reference(self) -> str:
        """The right answer."""

    @property
    def source(self) -> str:
        """`file:line`."""

    @property
    def grading(self) -> Mapping[str, Any]:
        """The row's `grading` column."""


class Reward(Protocol):
    """A reward: a dataclass of its options that grades one completion. It may define `prepare`, called once in a worker."""

    def __call__(self, completion: str, row: Row) -> float | None:
        """The value; None if the row cannot be graded. Raises UserError for such a row, too, to say why."""


@runtime_checkable
class Verifiable(Reward, Protocol):
    """A reward that gives 1 to the right answer of every row that it can grade, and 0 to a wrong one."""

    def corrupted(self, row: Row) -> str:
        """A wrong answer, as near to the right one as it can be made; the right one must be gradable."""


def option(default: Any, help: str) -> Any:
    """A field of a reward that a recipe can set."""
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

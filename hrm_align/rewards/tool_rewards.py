r"""Grader for tool calls: the calls of a text must be those of the row, by name and by the values of the arguments.

A row lists its right calls in `grading.possible`, in the form of the Berkeley Function Calling Leaderboard (BFCL): one
object for each call, with the right values of each argument; `""` among them means that the argument may be left out:

    {"possible": [{"weather": {"city": ["Paris", "Paris, France"], "unit": ["celsius", ""]}}]}

Without `possible`, the right calls are those of the reference. An empty list, or a reference without a call, means that no
tool may be called: an answer in plain text gets 1, an answer with a call or without any text gets 0.

- Calls may stand in any order. Each right call must occur, and no other; an unknown argument is wrong.
- Numbers are equal by value: 1 is 1.0. The text "1" is not the number 1, and true is neither.
- Lists have an order, objects have none. In `possible`, an object is `{key: [right values]}`, with `""` for a key that may
  be left out; inside such an object, a list may also be the value itself.
- Texts of the reference must be the same. Texts of `possible` are compared as in BFCL, without regard to capitals, spaces,
  the kind of quotation marks, and the punctuation `, . / - _ * ^`; but, unlike in BFCL, what changes a number counts: a
  space between digits, a decimal point, and `/`, `-`, `*` and `^` before a digit, and a `-` that begins a term.
- Names must be the same: `math.sqrt` is not `math_sqrt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from zlib import crc32

from hrm_align.data.tool_forms import ABSENT, first_arguments
from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, corrupt_json, corrupt_text
from hrm_align.rewards.reading import visible
from hrm_align.rewards.tool_reading import Call, Unreadable, calls_text, read_tool_calls

NO_CALL = "No tool is needed here."


@dataclass(frozen=True)
class ToolCalls:
    """1 if the text calls the right tools with the right arguments, in any order, and no others. The right calls are
    `grading.possible`, a list of `{name: {argument: [right values, "" if it may be left out]}}`, or else those of the
    reference; without a right call, an answer in plain text gets 1. Calls are read from `<tool_call>` tags, JSON or
    Python's form."""

    needs: ClassVar[str] = "a text whose tool calls can be read"

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None without `grading.possible` if the reference is blank or its calls cannot be read.

        Raises:
            UserError: if `grading.possible` does not have the form that this module describes.
        """
        right_calls = _right_calls(row)
        if right_calls is None:
            return None
        try:
            given = read_tool_calls(completion)
        except Unreadable:
            return 0.0
        if not right_calls:
            return float(not given and bool(visible(completion)))
        return float(_same_calls(given, right_calls))

    def extract_answer(self, completion: str) -> str | None:
        """Return the calls as JSON, a list of `{"name", "arguments"}` with sorted keys; None if they cannot be read."""
        try:
            return calls_text(read_tool_calls(completion))
        except Unreadable:
            return None

    def corrupt_reference(self, row: Row) -> str:
        """Return calls with another name or another value, or with a call dropped; the row decides which comes first.

        A row on which no tool may be called gets a call.
        """
        right_calls = _right_calls(row) or []
        calls = _reference_calls(row) or [right.example() for right in right_calls]
        if not right_calls:
            return row.reference + calls_text([Call("corrupted", {})], tagged=True)
        seed = crc32(row.source.encode("utf-8", "surrogatepass"))
        corrupted = [_change_name(calls, seed), _change_value(calls, seed), _drop_call(calls, seed)]
        first = seed % len(corrupted)
        wrong = [changed for changed in corrupted[first:] + corrupted[:first] if not _same_calls(changed, right_calls)]
        return calls_text(wrong[0], tagged=True) or NO_CALL


def _change_name(calls: Sequence[Call], seed: int) -> list[Call]:
    index = seed // 7 % len(calls)
    return [Call(corrupt_text(call.name), call.arguments) if i == index else call for i, call in enumerate(calls)]


def _change_value(calls: Sequence[Call], seed: int) -> list[Call]:
    """Change one value of one call; calls without arguments stay as they are."""
    places = [(i, key) for i, call in enumerate(calls) for key in call.arguments]
    changed = list(calls)
    if places:
        index, key = places[seed // 7 % len(places)]
        call = calls[index]
        changed[index] = Call(call.name, {**call.arguments, key: corrupt_json(call.arguments[key])})
    return changed


def _drop_call(calls: Sequence[Call], seed: int) -> list[Call]:
    index = seed // 7 % len(calls)
    return [call for i, call in enumerate(calls) if i != index]


# --- The right calls of a row


@dataclass(frozen=True)
class RightCall:
    """A call that a row expects.

    Args:
        name: name of the tool.
        arguments: with `by_list`, argument -> list of right values; otherwise argument -> the right value.
        by_list: whether the call is from `grading.possible`.
    """

    name: str
    arguments: Mapping[str, Any]
    by_list: bool

    def accepts(self, call: Call) -> bool:
        """Return whether a call is right."""
        if call.name != self.name:
            return False
        if self.by_list:
            return _accepts_object(call.arguments, self.arguments, nested=False)
        return _equal(dict(call.arguments), dict(self.arguments))

    def example(self) -> Call:
        """Return a right call: with the first right value of each argument that cannot be left out."""
        return Call(self.name, first_arguments(self.arguments) if self.by_list else self.arguments)


def _right_calls(row: Row) -> list[RightCall] | None:
    """Return the calls that a row expects, or None if the row does not state any."""
    possible = row.grading.get("possible")
    if possible is not None:
        return [_parse_possible(item, row.source) for item in _list_of(possible, row.source)]
    if not row.reference.strip():
        return None
    calls = _reference_calls(row)
    return None if calls is None else [RightCall(call.name, call.arguments, by_list=False) for call in calls]


def _reference_calls(row: Row) -> list[Call] | None:
    try:
        return read_tool_calls(row.reference)
    except Unreadable:
        return None


def _list_of(possible: Any, source: str) -> list[Any]:
    if isinstance(possible, list):
        return possible
    raise _invalid_possible(possible, source)


def _parse_possible(item: Any, source: str) -> RightCall:
    """Read one right call. Arrow fills the columns of other rows with nulls, which are left out."""
    tools = (
        {name: arguments for name, arguments in item.items() if arguments is not None}
        if isinstance(item, Mapping)
        else {}
    )
    if len(tools) == 1:
        ((name, arguments),) = tools.items()
        if isinstance(arguments, Mapping):
            arguments = {key: values for key, values in arguments.items() if values is not None}
        if isinstance(arguments, Mapping) and all(isinstance(values, list) for values in arguments.values()):
            return RightCall(name, arguments, by_list=True)
    raise _invalid_possible(item, source)


def _invalid_possible(value: Any, source: str) -> UserError:
    return UserError(
        f"{source}: invalid value in grading.possible: {value!r:.80}. Use a list with one object for each call, such as "
        '[{"weather": {"city": ["Paris"], "unit": ["celsius", ""]}}].'
    )


def _same_calls(given: Sequence[Call], expected: Sequence[RightCall]) -> bool:
    """Return whether calls and right calls can be paired one to one (Kuhn's algorithm)."""
    if len(given) != len(expected):
        return False
    accepted = [[index for index, right in enumerate(expected) if right.accepts(call)] for call in given]
    partner: dict[int, int] = {}  # index of a right call -> index of the call that it is paired with

    def pair(call: int, seen: set[int]) -> bool:
        for right in accepted[call]:
            if right not in seen:
                seen.add(right)
                if right not in partner or pair(partner[right], seen):
                    partner[right] = call
                    return True
        return False

    return all(pair(call, set()) for call in range(len(given)))


# --- Equal values


def _accepts_object(given: Mapping[str, Any], expected: Mapping[str, Any], nested: bool) -> bool:
    """Return whether an object has a right value for each key of `{key: [right values]}`, and no other key."""
    if not given.keys() <= expected.keys():
        return False
    for key, values in expected.items():
        if key not in given:
            if not isinstance(values, list) or ABSENT not in values:
                return False
        elif not _accepts_value(given[key], values, nested):
            return False
    return True


def _accepts_value(given: Any, values: Any, nested: bool) -> bool:
    """Return whether a value is one of a list of right values. In a nested object, the list may be the value itself."""
    if isinstance(values, list) and any(_matches(given, value) for value in values):
        return True
    return (nested or not isinstance(values, list)) and _matches(given, values)


def _matches(given: Any, expected: Any) -> bool:
    """Return whether a value is a right value of `grading.possible`."""
    if isinstance(expected, Mapping):
        return isinstance(given, Mapping) and _accepts_object(given, expected, nested=True)
    if isinstance(expected, list):
        if not isinstance(given, list) or len(given) != len(expected):
            return False
        return all(_matches(*pair) for pair in zip(given, expected, strict=True))
    if isinstance(given, str) and isinstance(expected, str):
        return given == expected or _loose(given) == _loose(expected) != ""
    return _equal(given, expected)


def _equal(given: Any, expected: Any) -> bool:
    """Return whether two JSON values are equal; 1 is 1.0, and true is not 1."""
    if isinstance(expected, Mapping):
        same_keys = isinstance(given, Mapping) and given.keys() == expected.keys()
        return same_keys and all(_equal(given[key], value) for key, value in expected.items())
    if isinstance(expected, list):
        same_length = isinstance(given, list) and len(given) == len(expected)
        return same_length and all(_equal(*pair) for pair in zip(given, expected, strict=True))
    if isinstance(given, bool) or isinstance(expected, bool):
        return given is expected
    return given == expected


_LOOSE = (
    (re.compile(r"'"), '"'),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"[\s,_]+"), " "),
    (re.compile(r" ?([^\w ]) ?"), r"\1"),  # spaces beside punctuation
    (re.compile(r"\.(?!\d)|(?<=[^\W\d])\."), ""),  # all but decimal points
    (re.compile(r"[/*^](?!\d)|(?<=\w)-(?!\d)"), ""),
    (re.compile(r"(?<!\d) | (?!\d)"), ""),
)


def _loose(text: str) -> str:
    """Return a text in the form in which texts of `grading.possible` are compared.

    >>> _loose("New York, NY"), _loose("1.5 - 20"), _loose("No. 5")
    ('newyorkny', '1.5-20', 'no5')
    """
    text = text.lower()
    for pattern, replacement in _LOOSE:
        text = pattern.sub(replacement, text)
    return text

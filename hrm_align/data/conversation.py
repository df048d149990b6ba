"""What all schemas share: checks on columns, texts and messages, and the way from a conversation to its examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.data.strict_json import JsonFault, parse_value
from hrm_align.errors import UserError
from hrm_align.rendering import Message, parse_condition


class RowError(ValueError):
    """A row that its schema does not allow. The message is the reason: `kind: detail`, or the kind alone."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a row, and whether it is learnt, which only an assistant's can be."""

    message: Message
    trained: bool


def column(row: Mapping[str, Any], name: str) -> Any:
    """The value of a column that must be there."""
    if name not in row:
        raise RowError(f"column `{name}` is missing: {nearest_column(name, row)}")
    return row[name]


def nearest_column(name: str, row: Iterable[str]) -> str:
    """A hint for a column that is missing: the name that comes nearest, or all names."""
    found = sorted(row)
    close = get_close_matches(name, found, n=1)
    return f"did you mean `{close[0]}`?" if close else f"there is {', '.join(found) or 'none'}"[:200]


def text_of(value: Any, name: str) -> str:
    """The value, if it is a text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise RowError(f"`{name}` must be text: got {'null' if value is None else type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(f"lone surrogate: `{name}` holds half a character, at {error.start}") from None
    return value


def optional_text(row: Mapping[str, Any], name: str) -> str | None:
    """The text of a column, or None if the column is missing, null or blank."""
    value = row.get(name)
    return value if value is not None and text_of(value, name).strip() else None


def list_of_objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """The value, if it is a list of at least one object."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise RowError(f"`{name}` must be a list of objects: got {value!r:.60}")
    if not value:
        raise RowError(f"`{name}` is empty")
    return value


def parsed(text: str, name: str) -> Any:
    """The value of a column that holds JSON as text."""
    try:
        return parse_value(text.encode("utf-8", "surrogatepass"))
    except JsonFault as fault:
        raise RowError(f"`{name}` holds no valid JSON: {fault}") from None


def question(value: Any, name: str) -> Turn:
    """A user's turn from a column of text, verbatim."""
    if not text_of(value, name).strip():
        raise RowError(f"`{name}` is empty")
    return Turn(Message("user", value), False)


def answer(value: Any, name: str) -> Turn:
    """An assistant's turn from a column of text, verbatim. It may be empty: tokenization drops it by name."""
    return Turn(Message("assistant", text_of(value, name)), True)


def turns_of(value: Any, name: str) -> list[Turn]:
    """The turns of a list of messages in OpenAI's and TRL's form."""
    messages = list_of_objects(value, name)
    return [_turn(message, f"message {number} of `{name}`") for number, message in enumerate(messages, start=1)]


def _turn(raw: Mapping[str, Any], where: str) -> Turn:
    if raw.get("tool_calls"):
        list_of_objects(raw["tool_calls"], "tool_calls")
    try:
        message = Message.of(raw)
    except UserError as error:
        raise RowError(f"{str(error).rstrip('.')} ({where})") from None
    except RecursionError:
        raise RowError(f"nested too deep: the arguments of a tool call in {where}") from None
    text_of(message.content, "content")
    for call in message.tool_calls:
        if not isinstance(call["arguments"], Mapping):
            raise RowError(f"the arguments of a tool call must be an object: got {call['arguments']!r:.60} ({where})")
        _json_text(call, "tool_calls")
    if message.role == "user" and not message.content.strip():
        raise RowError(f"a user message is empty: {where}")
    weight = raw.get("weight")
    if weight not in (None, 0, 1):
        raise RowError(f"`weight` must be 0 or 1: got {weight!r:.60} ({where})")
    return Turn(message, message.role == "assistant" and weight != 0)


def _json_text(value: Any, name: str) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"`{name}` cannot be written as JSON: {error}") from None
    return text_of(text, name)


def examples_of(turns: list[Turn], row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """One example per learnt answer, with the row's optional columns.

    Args:
        turns: the row's messages.
        row: where `system`, `tools`, `condition`, `group` or `task`, and `grading` are looked up.
        source: where the row stands.
        default_condition: for a row that names none.

    Raises:
        RowError: if nothing is learnt, or if an answer has nothing before it, or a question nothing after it.
    """
    # A blank system text is none: rendered, it would be an empty message.
    turns = [turn for turn in turns if turn.message.role != "system" or turn.message.content.strip()]
    turns = _with_opening(turns, row)
    _check_order([turn.message.role for turn in turns])
    if not any(turn.trained for turn in turns):
        raise RowError("no assistant message to learn: each has weight 0")
    messages = tuple(turn.message for turn in turns)
    condition = _condition(row, default_condition)
    group = optional_text(row, "group") or optional_text(row, "task")
    grading = _grading(row)
    return [
        Example(messages[:index], turn.message, condition, source, group, grading)
        for index, turn in enumerate(turns)
        if turn.trained
    ]


def _with_opening(turns: list[Turn], row: Mapping[str, Any]) -> list[Turn]:
    """`system` first, then the row's own system messages, then `tools` as a system message, then the rest."""
    system = optional_text(row, "system")
    if system is not None:
        turns = [Turn(Message("system", system), False), *turns]
    tools = row.get("tools")
    if isinstance(tools, str):  # tables hold tools as JSON text, because their parameters differ
        tools = parsed(tools, "tools") if tools.strip() else None
    if not tools:
        return turns
    text = _json_text(list_of_objects(tools, "tools"), "tools")
    end = next((index for index, turn in enumerate(turns) if turn.message.role != "system"), len(turns))
    return [*turns[:end], Turn(Message("system", text), False), *turns[end:]]


def _check_order(roles: list[str]) -> None:
    if "assistant" not in roles:
        raise RowError("no assistant message: there is nothing to learn")
    if roles[0] == "assistant":
        raise RowError("the conversation opens with an assistant message: put what it answers before it")
    if roles[-1] != "assistant":
        raise RowError(f"the conversation ends with a {roles[-1]} message: nothing answers it")


def _grading(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The column `grading`: an object, or the JSON text of one, as tables hold it."""
    value = row.get("grading")
    if isinstance(value, str):
        value = parsed(value, "grading") if value.strip() else None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError(f"`grading` must be an object: got {value!r:.60}")
    return value


def _condition(row: Mapping[str, Any], default: str) -> str:
    condition = optional_text(row, "condition")
    try:
        return ",".join(parse_condition(default if condition is None else condition))
    except UserError as error:
        raise RowError(str(error).rstrip(".")) from None

"""Turns of a conversation: messages in OpenAI's and TRL's form, and turns in ShareGPT's, become `Turn`s.

{"role": "assistant", "content": "4", "weight": 0}  ->  Turn(Message("assistant", "4"), trained=False)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrm_align.data.strict_json import JsonFault, RowError, parse_value, require_text
from hrm_align.data.tool_forms import ToolFault, expand_message, read_call, split_calls
from hrm_align.errors import UserError
from hrm_align.messages import Message, describe_keys, is_absent, is_plain, is_trained, plain_message, unread_keys

_SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt"), "assistant"),
    "system": "system",
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a row.

    Args:
        message: the message.
        trained: whether the message is trained on, which only an assistant message can be.
        references: all correct answers, if the row has a list of them; the message is the first.
    """

    message: Message
    trained: bool
    references: tuple[str, ...] = ()


def parse_turns(value: Any, name: str) -> list[Turn]:
    """Make turns from a list of messages in OpenAI's and TRL's form, as `plain_message` reads it."""
    messages = list_of_objects(value, name)
    turns: list[Turn] = []
    for number, message in enumerate(messages, start=1):
        place = f"message {number} of `{name}`"
        plain, trained = message, True
        if not is_plain(message):
            if unread := unread_keys(message):
                raise RowError(_describe_unread(unread, messages, place, name))
            try:
                plain, trained = plain_message(message), is_trained(message)
            except UserError as error:
                raise RowError(f"{str(error).rstrip('.')} ({place})") from None
        if _has_tool_tags(plain["content"], plain["role"]):
            turns += [_turn(part, trained, place) for part in _expanded(plain, place)]
        else:
            turns.append(_turn(plain, trained, place))
    return turns


def _describe_unread(unread: list[str], messages: Sequence[Mapping[str, Any]], place: str, name: str) -> str:
    """Return the reason for a message with keys that nothing reads, with the option that leaves out those of the whole row."""
    keys = dict.fromkeys(key for message in messages for key in unread_keys(message))
    advice = "write the name into the content, or " if unread == ["name"] else ""
    option = " ".join(f"{name}.{key}" for key in keys)
    return f"unread key: {describe_keys(unread)} in {place}; {advice}leave it out with --ignore_columns {option}"


def _expanded(message: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    try:
        return expand_message(message)
    except ToolFault as fault:
        raise RowError(f"{fault} ({place})") from None


def _turn(plain: Mapping[str, Any], trained: bool, place: str) -> Turn:
    """Make a turn from a message as `plain_message` returns it."""
    role, content, calls = plain["role"], require_text(plain["content"], "content"), plain.get("tool_calls")
    if calls:
        try:
            calls = [read_call(call) for call in list_of_objects(calls, "tool_calls")]
        except ToolFault as fault:
            raise RowError(f"{fault} ({place})") from None
        for call in calls:
            json_text(call, "tool_calls")
    if role == "user" and not content.strip():
        raise RowError(f"a user message is empty: {place}")
    return Turn(Message(role, content, tuple(calls or ())), role == "assistant" and trained)


def parse_history(value: Any) -> list[Turn]:
    """Make turns from the column `history`: pairs of a question and an answer, which is trained on, or a list of messages."""
    value = parsed(value, "history") if isinstance(value, str) and value.strip() else value or []
    if not isinstance(value, list):
        raise RowError(f"`history` must be a list of pairs of a question and an answer: got {value!r:.60}")
    if value and isinstance(value[0], Mapping):
        return parse_turns(value, "history")
    turns = []
    for number, pair in enumerate(value, start=1):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise RowError(f"`history` must have pairs of a question and an answer: item {number} is {pair!r:.60}")
        asked, answered = (require_text(text, f"history[{number - 1}]") for text in pair)
        if not asked.strip() or not answered.strip():
            raise RowError(f"`history` has an empty text: item {number}")
        turns += [Turn(Message("user", asked), False), Turn(Message("assistant", answered), True)]
    return turns


def parse_sharegpt(value: Any, name: str) -> list[Turn]:
    """Make turns from a list of turns in ShareGPT's form."""
    turns = list_of_objects(value, name)
    messages = [_sharegpt_message(turn, number, name) for number, turn in enumerate(turns, start=1)]
    return parse_turns(messages, name)


def _sharegpt_message(turn: Mapping[str, Any], number: int, name: str) -> dict[str, Any]:
    place = f"message {number} of `{name}`"
    missing = [key for key in ("from", "value") if key not in turn]
    if missing:
        raise RowError(
            f"a turn has no `{missing[0]}`: {place}; if it has role and content, set columns to messages: conversations"
        )
    speaker, value = turn["from"], require_text(turn["value"], "value")
    others = {key: other for key, other in turn.items() if key not in ("from", "value")}
    if twice := [key for key in ("role", "content") if not is_absent(others.get(key))]:
        raise RowError(_describe_unread(twice, (), place, name) + f"{name}.{twice[0]}")
    if speaker == "function_call":
        calls = parsed(value, "value of a function_call")
        return {**others, "role": "assistant", "tool_calls": calls if isinstance(calls, list) else [calls]}
    if not isinstance(speaker, str) or speaker not in _SHAREGPT_ROLES:
        known = ", ".join((*_SHAREGPT_ROLES, "function_call"))
        raise RowError(f"unknown `from` {speaker!r:.60}: use one of {known} ({place})")
    return {**others, "role": _SHAREGPT_ROLES[speaker], "content": value}


def _has_tool_tags(content: str, role: Any) -> bool:
    """Return whether a message may hold a tool call or a tool answer as text, which `tool_forms` reads."""
    if role == "assistant":
        return "tool_call>" in content or "functioncall>" in content
    return role in ("tool", "user") and "<tool_response>" in content


def answer_message(text: str, name: str) -> Message:
    """Make an assistant message from the text of a column, which has the tags of tool calls."""
    try:
        text, calls = split_calls(text)
    except ToolFault as fault:
        raise RowError(f"{fault} (`{name}`)") from None
    return Message("assistant", text, tuple(calls))


def list_of_objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the value if it is a list of at least one object; raise RowError otherwise."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise RowError(f"`{name}` must be a list of objects: got {value!r:.60}")
    if not value:
        raise RowError(f"`{name}` is empty")
    return value


def parsed(text: str, name: str) -> Any:
    """Parse a column that holds JSON as text. Raises RowError if the JSON is not valid."""
    try:
        return parse_value(text.encode("utf-8", "surrogatepass"))
    except JsonFault as fault:
        raise RowError(f"`{name}` is not valid JSON: {fault}") from None


def json_text(value: Any, name: str) -> str:
    """Return a value as JSON; raise RowError if it cannot be written."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"`{name}` cannot be written as JSON: {error}") from None
    return require_text(text, name)

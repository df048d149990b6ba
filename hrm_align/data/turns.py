"""Turns of a conversation: messages in OpenAI's and TRL's form, and turns in ShareGPT's, become `Turn`s.

{"role": "assistant", "content": "4", "weight": 0}  ->  Turn(Message("assistant", "4"), trained=False)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hrm_align.data.strict_json import JsonFault, RowError, parse_value, require_text
from hrm_align.data.tool_forms import ToolFault, expand_message, read_call, split_calls
from hrm_align.errors import UserError
from hrm_align.rendering import Message

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
    """Make turns from a list of messages in OpenAI's and TRL's form."""
    turns: list[Turn] = []
    for number, message in enumerate(list_of_objects(value, name), start=1):
        place = f"message {number} of `{name}`"
        content = message.get("content")
        if isinstance(content, str) and _has_tool_tags(content, message.get("role")):
            turns += [_turn(part, place) for part in _expanded(message, place)]
        else:
            turns.append(_turn(message, place))
    return turns


def _expanded(message: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    try:
        return expand_message(message)
    except ToolFault as fault:
        raise RowError(f"{fault} ({place})") from None


def _turn(raw: Mapping[str, Any], place: str) -> Turn:
    if raw.get("tool_calls"):
        try:
            calls = [read_call(call) for call in list_of_objects(raw["tool_calls"], "tool_calls")]
        except ToolFault as fault:
            raise RowError(f"{fault} ({place})") from None
        raw = {**raw, "tool_calls": calls}
    try:
        message = Message.of(raw)
    except UserError as error:
        raise RowError(f"{str(error).rstrip('.')} ({place})") from None
    require_text(message.content, "content")
    for call in message.tool_calls:
        json_text(call, "tool_calls")
    if message.role == "user" and not message.content.strip():
        raise RowError(f"a user message is empty: {place}")
    weight = raw.get("weight")
    if weight not in (None, 0, 1):
        raise RowError(f"`weight` must be 0 or 1: got {weight!r:.60} ({place})")
    return Turn(message, message.role == "assistant" and weight != 0)


def parse_sharegpt(value: Any, name: str) -> list[Turn]:
    """Make turns from a list of turns in ShareGPT's form."""
    turns = list_of_objects(value, name)
    messages = [_sharegpt_message(turn, number) for number, turn in enumerate(turns, start=1)]
    return parse_turns(messages, name)


def _sharegpt_message(turn: Mapping[str, Any], number: int) -> dict[str, Any]:
    place = f"message {number} of `conversations`"
    missing = [key for key in ("from", "value") if key not in turn]
    if missing:
        raise RowError(
            f"a turn has no `{missing[0]}`: {place}; if it has role and content, set columns to messages: conversations"
        )
    speaker, value = turn["from"], require_text(turn["value"], "value")
    weight = {"weight": turn.get("weight")}
    if speaker == "function_call":
        calls = parsed(value, "value of a function_call")
        return {"role": "assistant", "tool_calls": calls if isinstance(calls, list) else [calls], **weight}
    if not isinstance(speaker, str) or speaker not in _SHAREGPT_ROLES:
        known = ", ".join((*_SHAREGPT_ROLES, "function_call"))
        raise RowError(f"unknown `from` {speaker!r:.60}: use one of {known} ({place})")
    return {"role": _SHAREGPT_ROLES[speaker], "content": value, **weight}


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

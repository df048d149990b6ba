"""Messages of a conversation: the forms in which they are published become the one form that is rendered.

    {"role": "assistant", "thinking": "2 and 2", "content": "4"}        ->  Message("assistant", "<think>\\n2 and 2\\n</think>\\n\\n4")
    {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}   ->  Message("user", "2 + 2?")
    {"role": "assistant", "content": None, "function_call": {...}}      ->  Message("assistant", "", ({"name", "arguments"},))

A key is read, or is one of `LABELS`, which say nothing about the text, or is refused by name. A key whose value is null, blank or an
empty list counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hrm_align.errors import UserError, join_names

ROLES = ("system", "user", "assistant", "tool")
# OpenAI's newer name of the system message, and its older name of a tool's answer.
ROLE_ALIASES = {"developer": "system", "function": "tool"}
# Keys that hold the thoughts before an answer: of DeepSeek and vLLM, of OpenRouter, and of TRL and Ollama.
THINKING = ("reasoning_content", "reasoning", "thinking")
# Keys that say whether an assistant message is trained on: of OpenAI, and of other trainers.
WEIGHTS = ("weight", "train", "trainable", "loss", "loss_mask", "learn")
# Keys that say nothing about the text of a message, and are left out.
LABELS = (
    *("id", "message_id", "turn_id", "tool_call_id", "index", "type", "status", "model", "finish_reason"),
    *("timestamp", "created", "created_at", "language", "lang", "source"),
)
KEYS = ("role", "content", "tool_calls", "function_call", *THINKING, *WEIGHTS, "name")
_TEXT_PARTS = ("text", "input_text", "output_text")
_PART_KEYS = {"type", "text", "cache_control"}
_THINK, _THINK_END = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Args:
        role: `system`, `user`, `assistant` or `tool`.
        content: the text; control tokens in it are encoded as ordinary text.
        tool_calls: calls made by an assistant message: mappings with `name` and `arguments`.
    """

    role: str
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, message: Message | Mapping[str, Any]) -> Message:
        """Make a message from OpenAI's and TRL's form, as `plain_message` reads it. Raises UserError if the form is invalid."""
        if isinstance(message, Message):
            return message
        if unread := unread_keys(message):
            raise UserError(
                f"a message has {describe_keys(unread)}, which nothing reads. Remove {'them' if len(unread) > 1 else 'it'}."
            )
        message = plain_message(message)
        calls = tuple(_tool_call(call) for call in message.get("tool_calls") or ())
        return cls(message["role"], message["content"], calls)


def is_absent(value: Any) -> bool:
    """Return whether a value counts as absent: null, a blank text, or an empty list or object."""
    return value is None or (not value.strip() if isinstance(value, str) else value in ([], {}, ()))


def is_plain(message: Mapping[str, Any]) -> bool:
    """Return whether a message has a role of `ROLES`, a text, and no other keys."""
    return len(message) == 2 and message.get("role") in ROLES and isinstance(message.get("content"), str)


def unread_keys(message: Mapping[str, Any]) -> list[str]:
    """Return the keys of a message that nothing reads: unknown ones, and `name` where the text does not say who speaks."""
    named = message.get("role") in ("tool", "function")
    return [
        key
        for key, value in message.items()
        if ((key == "name" and not named) or (key not in KEYS and key not in LABELS)) and not is_absent(value)
    ]


def describe_keys(unread: list[str]) -> str:
    """Return unread keys for an error, each with the key that may have been meant."""
    described = []
    for key in unread:
        near = get_close_matches(str(key).lower(), KEYS, n=1, cutoff=0.75)
        described.append(f"`{key}`{f' (did you mean `{near[0]}`?)' if near and near[0] != key else ''}")
    return join_names(described)


def is_trained(message: Mapping[str, Any]) -> bool:
    """Return whether a message is trained on, if it is the assistant's: 0 or false in one of the keys `WEIGHTS` says no.

    Raises:
        UserError: for another value than 0, 1, true and false, and for two keys that contradict.
    """
    weights = {key: message[key] for key in WEIGHTS if message.get(key) is not None}
    for key, value in weights.items():
        if not isinstance(value, int | float) or value not in (0, 1):
            raise UserError(f"`{key}` must be 0 or 1: got {value!r:.60}.")
    if len({bool(value) for value in weights.values()}) > 1:
        stated = join_names([f"`{key}` {json.dumps(value)}" for key, value in weights.items()])
        raise UserError(f"contradiction: {stated} say both to train on the message and not to. Leave one of them out.")
    return all(weights.values())


def plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as `{"role", "content", "tool_calls"?}`, with one of `ROLES` and a text as the content.

    Thoughts (`THINKING`) stand before the answer, as `<think>`, line break, thoughts, line break, `</think>`, and an empty line; line
    breaks around the thoughts and before the answer are removed. Text parts are joined without anything between them. A
    `function_call` becomes the only tool call. Keys that are not read are left out.

    Raises:
        UserError: for an unknown role, or a value in another form.
    """
    stated = message.get("role")
    role = ROLE_ALIASES.get(stated, stated) if isinstance(stated, str) else stated
    if role not in ROLES:
        raise UserError(f"unknown role {stated!r:.60}: use one of {', '.join((*ROLES, *ROLE_ALIASES))}.")
    content, calls = message.get("content"), message.get("tool_calls") or []
    if not is_absent(message.get("function_call")):
        calls = _with_function_call(message["function_call"], calls)
    if calls and role != "assistant":
        raise UserError(f"a {role} message has tool_calls: only the assistant calls tools.")
    thoughts = [text for key in THINKING if (text := _thoughts(message, key))]
    if isinstance(content, list) and content and all(isinstance(part, Mapping) for part in content):
        content = "".join(_part_text(part, number, thoughts) for number, part in enumerate(content, start=1))
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise UserError(f"the content of a {role} message must be text, got {type(content).__name__}.")
    if thoughts:
        if role != "assistant":
            raise UserError(f"a {role} message has thoughts: only the assistant thinks.")
        if not content.strip() and not calls:
            raise UserError("an assistant message has thoughts and no answer.")
        content = _with_thoughts(thoughts, content)
    return {"role": role, "content": content, **({"tool_calls": calls} if calls else {})}


def _with_function_call(call: Any, calls: Any) -> list[Any]:
    if calls:
        raise UserError("a message has both function_call and tool_calls: leave one of them out.")
    if not isinstance(call, Mapping):
        raise UserError(f"`function_call` must be an object with a name and arguments: got {call!r:.60}.")
    return [call]


def _thoughts(message: Mapping[str, Any], key: str) -> str:
    """Return the thoughts in a key without line breaks around them and without their own tags; "" without thoughts."""
    value = message.get(key)
    if is_absent(value):
        return ""
    if not isinstance(value, str):
        raise UserError(f"`{key}` must be text, got {type(value).__name__}.")
    text = value.strip()
    text = text[len(_THINK) : -len(_THINK_END)] if text.startswith(_THINK) and text.endswith(_THINK_END) else value
    if _THINK in text or _THINK_END in text:
        raise UserError(f"`{key}` has the tag {_THINK} or {_THINK_END} inside the thoughts.")
    return text.strip("\n")


def _with_thoughts(thoughts: list[str], answer: str) -> str:
    if len({*thoughts}) > 1:
        raise UserError(f"two different thoughts in {join_names(THINKING)}: leave one of them out.")
    thought = f"{_THINK}\n{thoughts[0]}\n{_THINK_END}\n\n"
    opening, tag, rest = answer.lstrip().partition(_THINK_END)
    if tag and opening.startswith(_THINK):
        if opening.removeprefix(_THINK).strip() != thoughts[0].strip():
            raise UserError(
                f"the content has other thoughts in {_THINK} than the key beside it: leave one of them out."
            )
        answer = rest
    return thought + answer.lstrip("\n")


def _part_text(part: Mapping[str, Any], number: int, thoughts: list[str]) -> str:
    """Return the text of one part of a content; thoughts of a part are added to `thoughts`."""
    kind = part.get("type")
    if kind in ("thinking", "reasoning") and (text := _thoughts(part, kind)):
        thoughts.append(text)
        return ""
    if kind not in _TEXT_PARTS:
        raise UserError(
            f"part {number} of the content has the type {kind!r:.60}: only parts of type text can be rendered."
        )
    others = [key for key, value in part.items() if key not in _PART_KEYS and not is_absent(value)]
    if others:
        raise UserError(
            f"part {number} of the content has {join_names([f'`{key}`' for key in others])}, which nothing reads."
        )
    if not isinstance(part.get("text"), str):
        raise UserError(
            f"the text of part {number} of the content must be text, got {type(part.get('text')).__name__}."
        )
    return part["text"]


def _tool_call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function", call)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UserError(f"a tool call needs a `name` and `arguments`, got {json.dumps(call, default=str)[:80]}.")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):  # OpenAI sends the arguments as a JSON text
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise UserError(f"the arguments of tool call {function['name']!r} are not JSON: {error}.") from None
    return {"name": function["name"], "arguments": arguments}

"""Rows of every schema to examples: one function each, all ending in the same turns and checks (`examples_of`).

Every schema also takes the columns `system` (a text read first), `tools`, `condition`, `group` or `task` (a label for
tables of results), and `grading` (what a grader needs). An optional column that is null or blank is absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.data.strict_json import JsonFault, parse_value
from hrm_align.errors import UserError
from hrm_align.rendering import Message, parse_condition

OPTIONAL = ("system", "tools", "condition", "group", "task", "grading")

_SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt"), "assistant"),
    "system": "system",
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
}


class RowError(ValueError):
    """A row that its schema does not allow. The message is the reason: `kind: detail`, or the kind alone."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a row, and whether it is learnt, which only an assistant's can be."""

    message: Message
    trained: bool


def from_messages(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """OpenAI's and TRL's conversations: `{"messages": [{"role", "content", "tool_calls"?, "weight"?}], "tools"?}`.

    An assistant message of weight 0 is read as history and not learnt.

    Returns:
        One example per learnt assistant message, everything before it as its prompt.
    """
    return examples_of(turns_of(column(row, "messages"), "messages"), row, source, default_condition)


def from_sharegpt(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """ShareGPT's conversations: `{"conversations": [{"from": "human" | "gpt" | ..., "value": text}]}`.

    A `function_call` is an assistant message; its value is the JSON of one call, or of a list of calls.
    """
    turns = list_of_objects(column(row, "conversations"), "conversations")
    messages = [_sharegpt_message(turn, number) for number, turn in enumerate(turns, start=1)]
    return examples_of(turns_of(messages, "conversations"), row, source, default_condition)


def _sharegpt_message(turn: Mapping[str, Any], number: int) -> dict[str, Any]:
    where = f"message {number} of `conversations`"
    missing = [key for key in ("from", "value") if key not in turn]
    if missing:
        raise RowError(
            f"a turn has no `{missing[0]}`: {where}; if it has role and content, set columns to messages: conversations"
        )
    speaker, value = turn["from"], text_of(turn["value"], "value")
    weight = {"weight": turn.get("weight")}
    if speaker == "function_call":
        calls = parsed(value, "value of a function_call")
        return {"role": "assistant", "tool_calls": calls if isinstance(calls, list) else [calls], **weight}
    if not isinstance(speaker, str) or speaker not in _SHAREGPT_ROLES:
        known = ", ".join((*_SHAREGPT_ROLES, "function_call"))
        raise RowError(f"unknown `from` {speaker!r:.60}: use one of {known} ({where})")
    return {"role": _SHAREGPT_ROLES[speaker], "content": value, **weight}


def from_prompt_completion(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """TRL's `{"prompt", "completion"}`: each a text, or a list of messages. Only the completion is learnt."""
    prompt, completion = column(row, "prompt"), column(row, "completion")
    read = turns_of(prompt, "prompt") if isinstance(prompt, list) else [question(prompt, "prompt")]
    learnt = turns_of(completion, "completion") if isinstance(completion, list) else [answer(completion, "completion")]
    turns = [*(Turn(turn.message, False) for turn in read), *learnt]
    return examples_of(turns, row, source, default_condition)


def from_prompt_response(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """`{"prompt", "response"}`, two texts, both taken verbatim."""
    turns = [question(column(row, "prompt"), "prompt"), answer(column(row, "response"), "response")]
    return examples_of(turns, row, source, default_condition)


def from_instruction_response(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """The official SFT format (HRM-Text, scripts/prepare_sft_data.py): `{"instruction", "response"}`, verbatim."""
    turns = [question(column(row, "instruction"), "instruction"), answer(column(row, "response"), "response")]
    return examples_of(turns, row, source, default_condition)


def from_alpaca(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Alpaca's `{"instruction", "input"?, "output"}`: an input that is not blank follows after an empty line."""
    asked = question(column(row, "instruction"), "instruction")
    extra = optional_text(row, "input")
    if extra is not None:
        asked = Turn(Message("user", f"{asked.message.content}\n\n{extra}"), False)
    return examples_of([asked, answer(column(row, "output"), "output")], row, source, default_condition)


def from_prompt_only(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """TRL's `{"prompt"}`, a text or a list of messages, for rewards that need no right answer. Nothing can be learnt from
    it by heart, nor compared: SFT drops such a row by name, and `evaluate` refuses it."""
    prompt = column(row, "prompt")
    turns = turns_of(prompt, "prompt") if isinstance(prompt, list) else [question(prompt, "prompt")]
    if turns[-1].message.role == "assistant":
        raise RowError("the prompt ends with an assistant message: put what is to be answered behind it")
    read = [Turn(turn.message, False) for turn in turns]
    return examples_of([*read, answer("", "response")], row, source, default_condition)


Formatter = Callable[[Mapping[str, Any], str, str], list[Example]]


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns that make a schema, those it takes beside `OPTIONAL`, and the function that reads its rows."""

    required: tuple[str, ...]
    read: Formatter
    optional: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that its function reads, but for `OPTIONAL`."""
        return self.required + self.optional


SCHEMAS: dict[str, Schema] = {
    "messages": Schema(("messages",), from_messages),
    "prompt_completion": Schema(("prompt", "completion"), from_prompt_completion),
    "prompt_response": Schema(("prompt", "response"), from_prompt_response),
    "instruction_response": Schema(("instruction", "response"), from_instruction_response),
    "alpaca": Schema(("instruction", "output"), from_alpaca, ("input",)),
    "sharegpt": Schema(("conversations",), from_sharegpt),
    "prompt_only": Schema(("prompt",), from_prompt_only),
}
COLUMNS = tuple(dict.fromkeys([name for schema in SCHEMAS.values() for name in schema.columns] + [*OPTIONAL]))


def detect_format(columns: set[str]) -> str:
    """The schema that a set of column names fits.

    Raises:
        UserError: if none fits, or more than one, with the columns, the schemas and the nearest names.
    """
    fitting = [name for name, schema in SCHEMAS.items() if columns.issuperset(schema.required)]
    if columns - {*OPTIONAL} != {"prompt"}:  # another column may be the answer, misspelt
        fitting = [name for name in fitting if name != "prompt_only"]
    if len(fitting) == 1:
        return fitting[0]
    found = f"the columns {', '.join(sorted(columns)) or '(none)'}"
    if fitting:
        raise UserError(f"{found} fit {' and '.join(fitting)}: say which with `format`.")
    close = {name: get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.75) for name in sorted(columns - {*COLUMNS})}
    meant = {match[0]: name for name, match in close.items() if match}
    hint = " and ".join(f"`{name}` for `{theirs}`" for name, theirs in meant.items())
    known = "; ".join(f"{name} ({', '.join(schema.required)})" for name, schema in SCHEMAS.items())
    raise UserError(
        f"{found} fit no known schema{f': did you mean {hint}?' if hint else '.'} Rename them in the data, or set "
        f"`columns`, for example {meant or {'prompt': 'question', 'response': 'answer'}}. The schemas are {known}."
    )


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

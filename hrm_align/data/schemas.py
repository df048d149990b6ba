"""Rows of every schema to examples: one function each, all ending in the same conversation.

Every schema also takes the columns `system` (a text read first), `tools`, `condition`, `group` or `task` (a label for
tables of results), and `grading` (what a grader needs). An optional column that is null or blank is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hrm_align.data.conversation import (
    RowError,
    Turn,
    answer,
    column,
    examples_of,
    list_of_objects,
    nearest_column,
    optional_text,
    parsed,
    question,
    text_of,
    turns_of,
)
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.rendering import Message

OPTIONAL = ("system", "tools", "condition", "group", "task", "grading")

_SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt"), "assistant"),
    "system": "system",
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
}


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


def check_columns(columns: Mapping[str, str]) -> None:
    """Check the keys of a mapping of columns. Raises UserError for a name that no schema has."""
    example = "{'prompt': 'question', 'response': 'answer'}"
    if not isinstance(columns, Mapping) or not all(isinstance(theirs, str) for theirs in columns.values()):
        raise UserError(f"`columns` is {columns!r}: give the names in your data by those of a schema, as in {example}.")
    for name in columns:
        if name not in COLUMNS:
            hint = nearest_column(str(name), COLUMNS)
            raise UserError(f"`columns` has the key {name!r}, which no schema knows ({hint}): write it as {example}.")


def rename_columns(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row under the names of its schema.

    Args:
        row: as in the file.
        columns: from the names of the schema to those of the file: `{"prompt": "question", "response": "answer"}`.

    Raises:
        RowError: if a column is missing that is not optional.
    """
    renamed = {name: value for name, value in row.items() if name not in columns and name not in columns.values()}
    for name, theirs in columns.items():
        if theirs in row:
            renamed[name] = row[theirs]
        elif name not in OPTIONAL and name != "input":
            raise RowError(f"column `{theirs}` is missing: {nearest_column(theirs, row)}")
    return renamed

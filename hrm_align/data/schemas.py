"""Row schemas: one function per schema turns a row into examples; all share the turns and checks of `build_examples`.

    {"prompt": "copy sun", "response": "sun"}  ->  [Example((Message("user", "copy sun"),), Message("assistant", "sun"), ...)]

Every schema also takes the columns `system` or `system_prompt` (a text in front of the conversation), `tools` or `functions`,
`condition`, `group` or `task` (a label for tables of results), `grading` (data for a grader), `choices` (`grading.choices`), and
`weight` (0 for a row that is not used). Schemas whose question is a text also take `context`, which stands before it, and `history`,
the turns before it. An optional column that is null or blank counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hrm_align.data.answers import label_at, list_answers, read_choices
from hrm_align.data.column_guess import describe_proposal
from hrm_align.data.columns import MEANINGS
from hrm_align.data.examples import ANSWERS, Example
from hrm_align.data.strict_json import RowError, require_text
from hrm_align.data.tool_forms import find_tools_place
from hrm_align.data.turns import (
    Turn,
    answer_message,
    json_text,
    list_of_objects,
    parse_history,
    parse_sharegpt,
    parse_turns,
    parsed,
)
from hrm_align.errors import UserError
from hrm_align.messages import is_trained
from hrm_align.rendering import Message, parse_condition

OPTIONAL = (
    *("system", "system_prompt", "tools", "functions", "condition", "group", "task", "grading", "choices", "weight"),
)
BEFORE_QUESTION = ("context", "history")  # of schemas whose question is a text of its own


def from_messages(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert OpenAI's and TRL's conversations: `{"messages": [{"role", "content", "tool_calls"?, "weight"?}], "tools"?}`.

    An assistant message of weight 0 is part of the history and is not trained on.

    Returns:
        One example per trained assistant message; all messages before the trained one are its prompt.
    """
    return build_examples(parse_turns(column(row, "messages"), "messages"), row, source, default_condition)


def from_sharegpt(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert ShareGPT's conversations: `{"conversations": [{"from": "human" | "gpt" | ..., "value": text}]}`.

    A `function_call` is an assistant message whose value is the JSON of one call, or of a list of calls.
    """
    turns = parse_sharegpt(column(row, "conversations"), "conversations")
    return build_examples(turns, row, source, default_condition)


def from_prompt_completion(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert TRL's `{"prompt", "completion"}`, each a text or a list of messages. Only the completion is trained on."""
    prompt, completion = column(row, "prompt"), column(row, "completion")
    history = parse_turns(prompt, "prompt") if isinstance(prompt, list) else asked(prompt, "prompt", row)
    is_messages = isinstance(completion, list) and any(isinstance(item, Mapping) for item in completion)
    learnt = parse_turns(completion, "completion") if is_messages else [answer(completion, "completion", row)]
    history = [Turn(turn.message, False) for turn in history]
    return build_examples([*history, *learnt], row, source, default_condition)


def from_prompt_response(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert `{"prompt", "response"}`, two texts taken verbatim."""
    turns = [*asked(column(row, "prompt"), "prompt", row), answer(column(row, "response"), "response", row)]
    return build_examples(turns, row, source, default_condition)


def from_instruction_response(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert the official SFT format (HRM-Text, scripts/prepare_sft_data.py): `{"instruction", "response"}`, verbatim."""
    turns = [*asked(column(row, "instruction"), "instruction", row), answer(column(row, "response"), "response", row)]
    return build_examples(turns, row, source, default_condition)


def from_alpaca(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert Alpaca's `{"instruction", "input"?, "output"}`; a nonblank input follows the instruction after an empty line.

    The answers of a `history`, LLaMA-Factory's `[[question, answer], ...]`, are trained on too, as there.
    """
    turns = asked(column(row, "instruction"), "instruction", row)
    extra = optional_text(row, "input")
    if extra is not None:
        turns[-1] = Turn(Message("user", f"{turns[-1].message.content}\n\n{extra}"), False)
    return build_examples([*turns, answer(column(row, "output"), "output", row)], row, source, default_condition)


def from_prompt_only(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert TRL's `{"prompt"}`, a text or a list of messages, for rewards that need no reference.

    The example has an empty answer: SFT drops it as `empty_response`, and `evaluate` raises UserError for it.
    """
    prompt = column(row, "prompt")
    turns = parse_turns(prompt, "prompt") if isinstance(prompt, list) else asked(prompt, "prompt", row)
    if turns[-1].message.role == "assistant":
        raise RowError("the prompt ends with an assistant message: add the user or tool message to answer after it")
    history = [Turn(turn.message, False) for turn in turns]
    return build_examples([*history, answer("", "response", row)], row, source, default_condition)


Formatter = Callable[..., list[Example]]


@dataclass(frozen=True, slots=True)
class Schema:
    """A row schema.

    Args:
        required: columns that every row must have.
        read: function that converts a row to examples.
        optional: columns that a row may have in addition to `OPTIONAL`.
        kind: kind of the examples (`hrm_align.data.examples.KINDS`).
    """

    required: tuple[str, ...]
    read: Formatter
    optional: tuple[str, ...] = ()
    kind: str = ANSWERS

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the schema, without those of `OPTIONAL`."""
        return self.required + self.optional


SCHEMAS: dict[str, Schema] = {
    "messages": Schema(("messages",), from_messages),
    "prompt_completion": Schema(("prompt", "completion"), from_prompt_completion, BEFORE_QUESTION),
    "prompt_response": Schema(("prompt", "response"), from_prompt_response, BEFORE_QUESTION),
    "instruction_response": Schema(("instruction", "response"), from_instruction_response, BEFORE_QUESTION),
    "alpaca": Schema(("instruction", "output"), from_alpaca, ("input", *BEFORE_QUESTION)),
    "sharegpt": Schema(("conversations",), from_sharegpt),
    "prompt_only": Schema(("prompt",), from_prompt_only, BEFORE_QUESTION),
}
COLUMNS = tuple(dict.fromkeys([name for schema in SCHEMAS.values() for name in schema.columns] + [*OPTIONAL]))


def detect_format(columns: set[str]) -> str:
    """Return the name of the schema that fits a set of column names.

    Raises:
        UserError: if no schema or several schemas fit; the message has the columns, the schemas and the mapping to set.
    """
    fitting = [name for name, schema in SCHEMAS.items() if columns.issuperset(schema.required)]
    if columns - {*OPTIONAL, *BEFORE_QUESTION} != {"prompt"}:  # another column may be a misspelt response column
        fitting = [name for name in fitting if name != "prompt_only"]
    if len(fitting) == 1:
        return fitting[0]
    listed = f"the columns {', '.join(sorted(columns)) or '(none)'}"
    if fitting:
        raise UserError(
            f"{listed} fit the schemas {' and '.join(fitting)}. Set `format` to one of them, and leave the columns of the "
            "other out with `ignore_columns`."
        )
    if preference := sorted(columns & {"chosen", "rejected"}):
        raise UserError(
            f"{listed} are those of preference rows (`{'`, `'.join(preference)}`): {MEANINGS[preference[0]]}."
        )
    known = "; ".join(f"{name} ({', '.join(schema.required)})" for name, schema in SCHEMAS.items())
    raise UserError(f"{listed} fit no known schema. {describe_proposal(columns, COLUMNS)} The schemas are {known}.")


def column(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a required column. Raises RowError if the column is missing."""
    if name not in row:
        raise RowError(f"column `{name}` is missing: {nearest_column(name, row)}")
    return row[name]


def nearest_column(name: str, row: Iterable[str]) -> str:
    """Return a hint for a missing column: the most similar column name, or all column names."""
    names = sorted(row)
    close = get_close_matches(name, names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"the columns are {', '.join(names) or '(none)'}"[:200]


def optional_text(row: Mapping[str, Any], name: str) -> str | None:
    """Return the text of a column, or None if the column is missing, null or blank."""
    value = row.get(name)
    return value if value is not None and require_text(value, name).strip() else None


def question(value: Any, name: str) -> Turn:
    """Make a user turn from a text column, verbatim. Raises RowError if the text is blank."""
    if not require_text(value, name).strip():
        raise RowError(f"`{name}` is empty")
    return Turn(Message("user", value), False)


def asked(value: Any, name: str, row: Mapping[str, Any]) -> list[Turn]:
    """Make the turns of a text question: those of `history`, and the question, behind its `context` and an empty line."""
    turn = question(value, name)
    context = optional_text(row, "context")
    if context is not None:
        turn = Turn(Message("user", f"{context}\n\n{value}"), False)
    return [*parse_history(row["history"]), turn] if row.get("history") else [turn]


def answer(value: Any, name: str, row: Mapping[str, Any]) -> Turn:
    """Make an assistant turn from the column of the answer, verbatim; tokenization drops blank ones as `empty_response`.

    The column may hold several correct answers (`hrm_align.data.answers`): the first is trained on, and graders accept all of
    them. In a row with `grading.choices`, an integer is the index of the right choice, and is read as its label.
    """
    choices = _grading(row).get("choices")
    if choices is not None and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = label_at(value, choices)
        except ValueError as error:
            raise RowError(f"`{name}` does not fit `grading.choices`: {error}") from None
    answers = None if isinstance(value, str) else list_answers(value)
    if answers is None:
        return Turn(text_answer(require_text(value, name), name), True)
    texts = [require_text(text, f"{name}[{place}]") for place, text in enumerate(answers)]
    texts = [text for text in dict.fromkeys(texts) if text.strip()]
    if not texts:
        raise RowError(f"no answer: the list `{name}` is empty")
    return Turn(text_answer(texts[0], name), True, tuple(texts) if len(texts) > 1 else ())


def text_answer(text: str, name: str) -> Message:
    """Make an assistant message from the text of a column, with its tool calls if it has their tags."""
    return answer_message(text, name) if "tool_call>" in text or "functioncall>" in text else Message("assistant", text)


def build_examples(turns: list[Turn], row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Make one example per trained answer, with the row's optional columns.

    Args:
        turns: the row's messages.
        row: the row, which holds the columns of `OPTIONAL`.
        source: place of the row.
        default_condition: condition for a row without one.

    Returns:
        The examples; none for a row whose `weight` is 0.

    Raises:
        RowError: if no message is trained on, if the first message is an answer, or if the last message is not.
    """
    # A blank system text counts as absent: rendered, it would be an empty message.
    turns = [turn for turn in turns if turn.message.role != "system" or turn.message.content.strip()]
    turns = _with_opening(turns, row)
    _check_order([turn.message.role for turn in turns])
    if not any(turn.trained for turn in turns):
        raise RowError("no assistant message to learn: each has weight 0; give one of them weight 1")
    if row.get("weight") is not None and not is_trained({"weight": row["weight"]}):
        return []
    messages = tuple(turn.message for turn in turns)
    condition = _condition(row, default_condition)
    group = optional_text(row, "group") or optional_text(row, "task")
    grading = _grading(row)
    return [
        Example(messages[:index], turn.message, condition, source, group, _with_references(grading, turn))
        for index, turn in enumerate(turns)
        if turn.trained
    ]


def _with_references(grading: Mapping[str, Any], turn: Turn) -> Mapping[str, Any]:
    """Add the correct answers of a turn to those that `grading.references` lists."""
    if not turn.references:
        return grading
    listed = grading.get("references") or []
    if not isinstance(listed, list):
        raise RowError(f"`references` in `grading` must be a list of texts: got {listed!r:.60}")
    return {**grading, "references": [*turn.references, *listed]}


def _with_opening(turns: list[Turn], row: Mapping[str, Any]) -> list[Turn]:
    """Order the turns: `system`, the row's own system messages, `tools` as a system message, the rest."""
    system = _system(row, turns)
    if system is not None:
        turns = [Turn(Message("system", system), False), *turns]
    tools = _functions(row) if "functions" in row else row.get("tools")
    if isinstance(tools, str):  # tables hold tools as JSON text, because their parameters differ
        tools = parsed(tools, "tools") if tools.strip() else None
    if not tools:
        return turns
    if isinstance(tools, list):
        tools = [parsed(tool, "tools") if isinstance(tool, str) else tool for tool in tools]
    text = json_text(list_of_objects(tools, "tools"), "tools")
    place = find_tools_place([turn.message for turn in turns], tools)
    return turns if place is None else [*turns[:place], Turn(Message("system", text), False), *turns[place:]]


def _system(row: Mapping[str, Any], turns: list[Turn]) -> str | None:
    """Return the text of `system` or `system_prompt`; a system_prompt that repeats a system text is left out."""
    system, prompt = optional_text(row, "system"), optional_text(row, "system_prompt")
    if prompt is None or prompt in (system, next((turn.message.content for turn in turns[:1]), None)):
        return system
    if system is not None:
        raise RowError("`system` and `system_prompt` differ: leave one of them out with --ignore_columns system_prompt")
    return prompt


def _functions(row: Mapping[str, Any]) -> Any:
    """Return `functions`, OpenAI's older form of `tools`, in the form of `tools`."""
    functions, tools = row["functions"], row.get("tools")
    if isinstance(functions, str):
        functions = parsed(functions, "functions") if functions.strip() else None
    if not functions:
        return tools
    if tools:
        raise RowError("`functions` and `tools` are both given: leave one of them out with --ignore_columns functions")
    functions = list_of_objects(functions, "functions")
    return [item if "function" in item else {"type": "function", "function": item} for item in functions]


def _check_order(roles: list[str]) -> None:
    if "assistant" not in roles:
        raise RowError("no assistant message: add the answer to train on")
    if roles[0] == "assistant":
        raise RowError("the conversation opens with an assistant message: put the message that it answers before it")
    if roles[-1] != "assistant":
        raise RowError(f"the conversation ends with a {roles[-1]} message: add the assistant's answer, or remove it")


def _grading(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the column `grading`: an object, or (in CSV and TSV files) the JSON text of one."""
    value = row.get("grading")
    if isinstance(value, str):
        value = parsed(value, "grading") if value.strip() else None
    if value is not None and not isinstance(value, Mapping):
        raise RowError(f"`grading` must be an object: got {value!r:.60}")
    return _with_choices(value or {}, row["choices"]) if row.get("choices") else value or {}


def _with_choices(grading: Mapping[str, Any], choices: Any) -> Mapping[str, Any]:
    """Add the column `choices` (of MMLU and ARC) as `grading.choices`."""
    if isinstance(choices, str):
        choices = parsed(choices, "choices") if choices.strip() else None
    if choices is None:
        return grading
    try:
        read_choices(choices)
    except ValueError as error:
        raise RowError(
            f"`choices` are not those of a question: {error}; leave them out with --ignore_columns choices"
        ) from None
    if grading.get("choices", choices) != choices:
        raise RowError("`choices` and `grading.choices` differ: leave one of them out with --ignore_columns choices")
    return {**grading, "choices": choices}


def _condition(row: Mapping[str, Any], default: str) -> str:
    condition = optional_text(row, "condition")
    try:
        return ",".join(parse_condition(default if condition is None else condition))
    except UserError as error:
        raise RowError(str(error).rstrip(".")) from None

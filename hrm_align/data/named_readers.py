"""Readers of published data sets by name: `format: gsm8k` in a data set of a recipe reads the rows as they are published.

    {"question": "How many?", "answer": "6 * 12 = 72\\n#### 72"}
        ->  {"prompt": "How many?", "response": "6 * 12 = 72\\n#### 72", "grading": {"references": ["72"]}}

Each reader is one entry of `NAMED_READERS`: the schema that its rows have under other column names (`SCHEMAS`), the names, the
columns that say nothing about the conversation, and, for forms that no schema has, a function. `FORMATS` has all names that
`format` may take.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.data.schemas import OPTIONAL, SCHEMAS, RowError, Schema, column, parsed, require_text
from hrm_align.data.strict_json import JsonFault, parse_object
from hrm_align.data.tool_forms import ToolFault, first_arguments, parse_tools, read_call

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NamedReader:
    """Reader of the rows of one published data set.

    Args:
        recipe: entry of `datasets` that reads the data set, without its format.
        schema: name of the schema of the rows, once their columns are renamed.
        columns: mapping from the schema's columns to the published ones.
        labels: published columns that the reader leaves out: numbers, origins, repetitions of another column.
        reads: published columns that `convert` reads besides those of `columns`.
        convert: function of a row, its renamed columns and its source that returns the columns of the schema.
        about: what the reader does besides renaming columns, for the documentation.
    """

    recipe: str
    schema: str
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    convert: Callable[[Row, dict[str, Any], str], dict[str, Any]] | None = None
    reads: tuple[str, ...] = ()
    about: str = ""

    @property
    def base(self) -> Schema:
        """The schema of the rows, once their columns are renamed."""
        return SCHEMAS[self.schema]

    def read(self, row: Row, source: str, default_condition: str, **options: Any) -> list[Example]:
        """Convert a published row to examples, with the options of the schema. Raises RowError for a row in another form."""
        own = {name: row[name] for name in OPTIONAL if name in row}
        for theirs in self.required:
            column(row, theirs)
        renamed = {name: row[theirs] for name, theirs in self.columns.items() if theirs in row} | own
        if self.convert is not None:
            renamed = self.convert(row, renamed, source)
        return self.base.read(renamed, source, default_condition, **options)

    @property
    def required(self) -> tuple[str, ...]:
        """Published columns that every row must have."""
        return tuple(theirs for name, theirs in self.columns.items() if name not in (*OPTIONAL, "context"))

    @property
    def optional(self) -> tuple[str, ...]:
        """Published columns that a row may have."""
        return (
            tuple(theirs for theirs in self.columns.values() if theirs not in self.required) + self.reads + self.labels
        )


# --- Mathematics

_GSM8K_ANSWER = re.compile(r"####\s*(\S[^\n]*?)\s*\Z")


def _gsm8k(row: Row, renamed: dict[str, Any], source: str) -> dict[str, Any]:
    """Add the number behind `####` as a reference; the response keeps its text."""
    stated = _GSM8K_ANSWER.search(require_text(row["answer"], "answer"))
    if stated is None:
        raise RowError(
            "`answer` does not end in `#### number`: the row is not one of GSM8K, use format prompt_response"
        )
    return {"grading": {"references": [stated[1].replace(",", "")]}, **renamed}


# --- Code


def _magicoder(row: Row, renamed: dict[str, Any], source: str) -> dict[str, Any]:
    """Read `problem` and `solution` of OSS-Instruct, or `instruction` and `response` of Evol-Instruct."""
    names = ("problem", "solution") if row.get("problem") is not None else ("instruction", "response")
    prompt, response = (column(row, name) for name in names)
    return {**renamed, "prompt": prompt, "response": response}


# --- Tools


def _xlam(row: Row, renamed: dict[str, Any], source: str) -> dict[str, Any]:
    """Read `answers`, a JSON list of calls; an empty list means that no tool may be called."""
    answers = row["answers"]
    calls = parsed(answers, "answers") if isinstance(answers, str) else answers
    if not isinstance(calls, list):
        raise RowError(f"`answers` must be a list of calls: got {calls!r:.60}")
    if not calls:
        return {"grading": {"possible": []}, **renamed, "completion": ""}
    return {**renamed, "completion": [_message_of([_call(call) for call in calls])]}


def _call(call: Any) -> dict[str, Any]:
    try:
        return read_call(call)
    except ToolFault as fault:
        raise RowError(str(fault)) from None


def _message_of(calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": calls}


_CATEGORY = re.compile(r"(.+?)_\d+(?:-\d+)*\Z")  # `live_simple` of the id `live_simple_12-3-0`


def _bfcl(row: Row, renamed: dict[str, Any], source: str) -> dict[str, Any]:
    """Read a question of one turn, its functions as tools, and the right calls of `ground_truth` as `grading.possible`.

    The answers of BFCL are in another file: `possible_answer/NAME` beside the questions, by `id`. In categories about irrelevant
    functions no tool may be called.
    """
    category = _CATEGORY.match(str(row.get("id", "")))
    question, functions = row["question"], column(row, "function")
    if isinstance(question, list) and all(isinstance(turn, list) for turn in question):
        if len(question) != 1:
            raise RowError(f"several turns: `question` has {len(question)}, and only questions of one turn can be read")
        question = question[0]
    truth = row.get("ground_truth")
    if truth is None:
        truth = [] if category and category[1].endswith("irrelevance") else _bfcl_answers(row.get("id"), source)
    calls = [_possible_call(item) for item in truth] if isinstance(truth, list) else None
    if calls is None or None in calls:
        raise RowError(f"`ground_truth` must be a list of {{name: {{argument: [values]}}}}: got {truth!r:.60}")
    return {
        "grading": {"possible": truth},
        **({"group": category[1]} if category else {}),
        **renamed,
        "tools": functions if isinstance(functions, list) else [functions],
        "prompt": question,
        "completion": [_message_of([call for call in calls if call])] if calls else "",
    }


def _possible_call(item: Any) -> dict[str, Any] | None:
    """Return a right call, with the first right value of each argument; None if the form is another."""
    tools = {name: values for name, values in item.items() if values is not None} if isinstance(item, Mapping) else {}
    if len(tools) != 1:
        return None
    ((name, arguments),) = tools.items()
    if not isinstance(arguments, Mapping) or not all(isinstance(values, list | None) for values in arguments.values()):
        return None
    return {"name": name, "arguments": first_arguments(arguments)}


def _bfcl_answers(id: Any, source: str) -> Any:
    answers = _answers_of(source.rpartition(":")[0])
    name = os.path.basename(answers)
    if not os.path.isfile(answers):
        raise RowError(
            f"no answer: the row has no `ground_truth`, and there is no file possible_answer/{name} beside it"
        )
    known = _read_bfcl_answers(answers, os.stat(answers).st_mtime_ns)
    if str(id) not in known:
        raise RowError(f"no answer: possible_answer/{name} has no row with the id {id!r:.40}")
    return known[str(id)]


def _answers_of(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, "possible_answer", name)


def files_beside(format: str | None, files: Sequence[str]) -> list[str]:
    """Return the files that the reader of a format reads besides the data files; a cache of the rows depends on them too."""
    answers = map(_answers_of, files) if format == "bfcl" else ()
    return [path for path in answers if os.path.isfile(path)]


@lru_cache(maxsize=32)
def _read_bfcl_answers(path: str, modified: int) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):  # noqa: B007 - the number is that of the line at fault
                row = parse_object(line.strip()) if line.strip() else {}
                answers[str(row.get("id"))] = row.get("ground_truth")
    except JsonFault as fault:
        raise RowError(f"no answer: {path}:{number}: {fault}") from None
    except OSError as error:
        raise RowError(f"no answer: {path} cannot be read ({error.strerror})") from None
    return answers


_END = "<|endoftext|>"
_SPEAKERS = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_TURN = r"(?:\A|{between})\s*(USER|ASSISTANT|FUNCTION RESPONSE):[ \t]?"
_GLAIVE_TURN = re.compile(_TURN.format(between=r"\n[ \t]*\n|<\|endoftext\|>"))
_GLAIVE_LINE = re.compile(_TURN.format(between=r"\n|<\|endoftext\|>"))  # for rows without empty lines between turns


def _glaive(row: Row, renamed: dict[str, Any], source: str) -> dict[str, Any]:
    """Read the turns of `chat`, and the functions of `system` as tools."""
    chat = require_text(row["chat"], "chat")
    parts = _GLAIVE_TURN.split(chat)
    if "ASSISTANT" not in parts[1::2]:
        parts = _GLAIVE_LINE.split(chat)
    if parts[0].strip():
        raise RowError(f"`chat` must begin with `USER:`: got {parts[0].strip()[:40]!r}")
    messages = [
        {"role": _SPEAKERS[speaker], "content": text.strip().removesuffix(_END).strip()}
        for speaker, text in zip(parts[1::2], parts[2::2], strict=True)
    ]
    system, tools = _glaive_system(require_text(column(row, "system"), "system"))
    return {**renamed, "messages": messages, "system": system, "tools": tools}


def _glaive_system(text: str) -> tuple[str, list[Any]]:
    text = text.strip().removeprefix("SYSTEM:").strip()
    start = re.search(r"^\s*\{", text, re.MULTILINE) or re.search(r"\{\s*\"name\"", text)
    if start is None:
        return text, []
    try:
        return text[: start.start()].strip(), parse_tools(text[start.start() :])
    except JsonFault as fault:
        raise RowError(f"broken tools: {fault} in `system`") from None


# --- The registry

_OPENHERMES_LABELS = (
    *("custom_instruction", "topic", "model_name", "model", "skip_prompt_formatting", "category", "views", "language"),
    *("id", "title", "idx", "hash", "avatarUrl", "source"),
)
_CHAT = {"messages": "messages"}

NAMED_READERS: dict[str, NamedReader] = {
    "smol_smoltalk": NamedReader(
        "path: HuggingFaceTB/smol-smoltalk",
        "messages",
        {**_CHAT, "group": "source"},
        ("full_topic",),
    ),
    "ultrachat": NamedReader(
        "path: HuggingFaceH4/ultrachat_200k, split: train_sft", "messages", _CHAT, ("prompt", "prompt_id")
    ),
    "no_robots": NamedReader(
        "path: HuggingFaceH4/no_robots", "messages", {**_CHAT, "group": "category"}, ("prompt", "prompt_id")
    ),
    "tulu3": NamedReader("path: allenai/tulu-3-sft-mixture", "messages", {**_CHAT, "group": "source"}, ("id",)),
    "openorca": NamedReader(
        "path: Open-Orca/OpenOrca",
        "prompt_response",
        {"system_prompt": "system_prompt", "prompt": "question", "response": "response"},
        ("id",),
    ),
    "slimorca": NamedReader("path: Open-Orca/SlimOrca", "sharegpt", {"conversations": "conversations"}),
    "openhermes": NamedReader(
        "path: teknium/OpenHermes-2.5",
        "sharegpt",
        {"conversations": "conversations", "system_prompt": "system_prompt"},
        _OPENHERMES_LABELS,
        about="`system_prompt` opens the conversation, unless the conversation opens with the same text",
    ),
    "dolly": NamedReader(
        "path: databricks/databricks-dolly-15k",
        "instruction_response",
        {"instruction": "instruction", "context": "context", "response": "response", "group": "category"},
        about="the context stands before the instruction",
    ),
    "numinamath": NamedReader(
        "path: AI-MO/NuminaMath-CoT",
        "prompt_response",
        {"prompt": "problem", "response": "solution", "group": "source"},
        ("messages",),
    ),
    "gsm8k": NamedReader(
        "path: openai/gsm8k, name: main",
        "prompt_response",
        {"prompt": "question", "response": "answer"},
        (),
        _gsm8k,
        about="the response keeps its text; the number behind `####` is a reference for graders (`grading.references`)",
    ),
    "trivia_qa": NamedReader(
        "path: mandarjoshi/trivia_qa, name: rc.nocontext",
        "prompt_response",
        {"prompt": "question", "response": "answer"},
        ("question_id", "question_source", "entity_pages", "search_results"),
        about="every alias is a reference; the pages of the configuration `rc` are left out",
    ),
    "squad": NamedReader(
        "path: rajpurkar/squad",
        "prompt_response",
        {"prompt": "question", "context": "context", "response": "answers", "group": "title"},
        ("id",),
        about="every answer is a reference; the context stands before the question",
    ),
    "nq_open": NamedReader(
        "path: google-research-datasets/nq_open",
        "prompt_response",
        {"prompt": "question", "response": "answer"},
        about="every answer is a reference",
    ),
    "magicoder": NamedReader(
        "path: ise-uiuc/Magicoder-OSS-Instruct-75K",
        "prompt_response",
        {"group": "lang"},
        ("raw_index", "index", "seed", "openai_fingerprint"),
        _magicoder,
        ("problem", "solution", "instruction", "response"),
        "also reads Magicoder-Evol-Instruct-110K (`instruction`, `response`)",
    ),
    "xlam": NamedReader(
        "path: Salesforce/xlam-function-calling-60k",
        "prompt_completion",
        {"prompt": "query", "completion": "answers", "tools": "tools"},
        ("id",),
        _xlam,
        about="`answers` are the tool calls; without one, no tool may be called (`grading.possible`)",
    ),
    "bfcl": NamedReader(
        "path: BFCL_v3_simple.json",
        "prompt_completion",
        {"prompt": "question", "tools": "function"},
        (),
        _bfcl,
        ("id", "ground_truth"),
        "questions of one turn; the right calls are `ground_truth`, or those of `possible_answer/` beside the file",
    ),
    "hermes_function_calling": NamedReader(
        "path: NousResearch/hermes-function-calling-v1, name: func_calling",
        "sharegpt",
        {"conversations": "conversations", "tools": "tools", "group": "category"},
        ("id", "subcategory", "task", "schema"),
    ),
    "glaive": NamedReader(
        "path: glaiveai/glaive-function-calling-v2",
        "messages",
        {"messages": "chat"},
        (),
        _glaive,
        ("system",),
        "turns of `chat`; the functions of `system` are the tools",
    ),
}

FORMATS: dict[str, Schema] = SCHEMAS | {
    name: Schema(reader.required, reader.read, reader.optional) for name, reader in NAMED_READERS.items()
}


def suggest_reader(row: Row, source: str, readers: Mapping[str, NamedReader] = NAMED_READERS) -> str:
    """Return a sentence that names the reader whose published columns a row has, if it reads the row; "" without one."""
    for name, reader in readers.items():
        published = {*reader.columns.values()}
        distinctive = reader.convert is not None or len(row) > 2  # a question and an answer alone are any table
        if (
            published
            and distinctive
            and published <= row.keys() <= published | {*reader.reads, *reader.labels, *OPTIONAL}
        ):
            try:
                reader.read(row, source, "")
            except RowError:
                continue
            return f" The rows look like those of {name}, which --format {name} reads."
    return ""

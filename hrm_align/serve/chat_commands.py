"""Commands of a chat: lines that begin with a slash.

run_command(chat, "/condition synth,cot").lines  # ["condition: synth,cot"]
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from hrm_align.config.bounds import OPTIONS
from hrm_align.data.examples import NO_CONDITION
from hrm_align.errors import UserError
from hrm_align.files import replace_text
from hrm_align.rendering import CONDITION_TOKENS, parse_condition
from hrm_align.serve.chat import Chat, ChatSettings

EMPTY = '""'  # what a user writes for an empty value


class Outcome(NamedTuple):
    """What a command has done.

    Args:
        lines: lines to show to the user.
        then: what the terminal does next: answer the last text anew, or leave.
    """

    lines: list[str]
    then: Literal["", "retry", "quit"] = ""


def text_of(line: str) -> str | None:
    """Return the text that a line sends to the model, `//` at its beginning as one slash; None for a command."""
    if line.startswith("//"):
        return line[1:]
    return None if line.startswith("/") else line


def run_command(chat: Chat, line: str) -> Outcome:
    """Run a command.

    Raises:
        UserError: for an unknown command or a wrong value.
    """
    name, value = [*line[1:].split(maxsplit=1), "", ""][:2]
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean /{near[0]}?" if near else "/help lists the commands."
        raise UserError(f"unknown command /{name}: {hint} A text that begins with a slash is sent with two (//).")
    usage, _, command = COMMANDS[name]
    if value and not usage:
        raise UserError(f"/{name} takes nothing behind it: got {value!r:.60}. Write /{name} alone.")
    done = command(chat, value.strip())
    return done if isinstance(done, Outcome) else Outcome(done)


def _help(chat: Chat, value: str) -> list[str]:
    names = {f"/{name} {usage}".strip(): text for name, (usage, text, _) in COMMANDS.items()}
    width = max(map(len, names))
    return [
        *(f"{name:<{width}}  {text}" for name, text in names.items()),
        "A backslash at the end of a line continues the text on the next line. Two slashes send a text that begins with one.",
        "Ctrl-C ends an answer, and what is written by then is kept; at the prompt it leaves, as Ctrl-D does.",
    ]


def _system(chat: Chat, value: str) -> list[str]:
    if value:
        chat.system = "" if value == EMPTY else value
    return [f"system: {chat.system or 'none'}"]


def _condition(chat: Chat, value: str) -> list[str]:
    if not value:
        return [
            f"condition: {chat.condition or 'none'} (known: {', '.join(CONDITION_TOKENS)}, or several as synth,cot)"
        ]
    chat.condition = ",".join(parse_condition("" if value == EMPTY else value))
    return [f"condition: {chat.condition or 'none'}"]


def _adapter(chat: Chat, value: str) -> list[str]:
    names = chat.models.names
    if not value:
        return [f"{'*' if name == chat.adapter else ' '} {name}" for name in names]
    if value not in names:
        near = get_close_matches(value, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}."
        raise UserError(
            f"there is no adapter {value!r}: {hint} Others are loaded at the start, with --adapter NAME=FOLDER."
        )
    chat.adapter = value
    return [f"adapter: {value}"]


def _set(chat: Chat, value: str) -> list[str]:
    names = [field.name for field in fields(ChatSettings)]
    name, _, text = value.replace("=", " ").partition(" ")
    if value:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}."
            raise UserError(f"unknown setting {name!r}: {hint}")
        setattr(chat.settings, name, _number(name, text.strip()))
        chat.draws = 0 if name == "seed" else chat.draws
    return [f"{name}: {getattr(chat.settings, name)}" for name in ([name] if value else names)]


def _number(name: str, text: str) -> int | float:
    """Read the value of a setting, within the range of the option with this name."""
    kind = int if name in ("max_new_tokens", "seed") else float
    try:
        value = kind(text)
    except ValueError:
        value = float("nan")
    if fault := OPTIONS[name].fault(value):
        raise UserError(
            f"invalid value for {name}: {text!r:.60}. The value must be {fault}, as in /set {name} {_EXAMPLES[name]}."
        )
    return value


_EXAMPLES = {"max_new_tokens": 512, "temperature": 0.7, "top_p": 0.9, "seed": 1}


def _show(chat: Chat, value: str) -> list[str]:
    return chat.describe_prompt()


def _retry(chat: Chat, value: str) -> Outcome:
    if chat.answers_alike():
        return Outcome(
            [
                "Greedy decoding would give the same answer again. To sample another one: /set temperature 0.7, then /retry."
            ]
        )
    return Outcome([], "retry")


def _undo(chat: Chat, value: str) -> list[str]:
    removed = chat.undo()
    return [f"removed: {json.dumps(removed.user, ensure_ascii=False)} and its answer; {len(chat.exchanges)} left"]


def _clear(chat: Chat, value: str) -> list[str]:
    turns = len(chat.exchanges)
    chat.clear()
    return [f"removed: {turns} turns. The system text, condition, adapter and settings stay."]


def _save(chat: Chat, value: str) -> list[str]:
    if not value:
        raise UserError("/save needs a file to write, as in /save chat.jsonl.")
    path = Path(value).expanduser()
    if path.exists() or path.is_symlink():
        raise UserError(f"{value} already exists and is not overwritten. Name a new file.")
    rows, omitted = chat.to_rows()
    try:
        replace_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    except OSError as error:
        raise UserError(
            f"cannot write {value} ({error.strerror or error}). Name a file in a folder that exists."
        ) from None
    chat.is_saved = True
    conditions = " and ".join(dict.fromkeys(row["condition"] or "none" for row in rows))
    lines = [
        f"saved: {value}, {_count(len(rows), 'row')} with {_count(len(chat.exchanges) - omitted, 'answer')} (condition {conditions})"
    ]
    if not all(row["condition"] for row in rows):
        lines.append(NO_CONDITION)
    if omitted:
        lines.append(
            f"{_count(omitted, 'answer')} cut, interrupted, blank or with a control token: in no row trained on"
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _quit(chat: Chat, value: str) -> Outcome:
    return Outcome([], "quit")


# What stands behind the name, what the command does, and its function.
COMMANDS: dict[str, tuple[str, str, Callable[[Chat, str], list[str] | Outcome]]] = {
    "help": ("", "list the commands", _help),
    "system": ("[TEXT]", 'system text of the next prompts; "" for none; alone: show it', _system),
    "condition": (
        "[TAGS]",
        'condition of the next prompts, such as synth,cot; "" for none; alone: show it',
        _condition,
    ),
    "adapter": ("[NAME]", "answer with this adapter from now on, or with `base`; alone: list them", _adapter),
    "set": ("[NAME VALUE]", "max_new_tokens, temperature (0: greedy), top_p, seed; alone: show them", _set),
    "show": (
        "",
        "show the last prompt as the model reads it, with the prefix marked, and the room that is left",
        _show,
    ),
    "retry": ("", "answer the last text again, with the next random stream if answers are sampled", _retry),
    "undo": ("", "remove the last text and its answer", _undo),
    "clear": ("", "remove all texts and answers", _clear),
    "save": (
        "FILE",
        "write the conversation as rows to train on (JSON lines); an existing file is never overwritten",
        _save,
    ),
    "quit": ("", "leave", _quit),
}

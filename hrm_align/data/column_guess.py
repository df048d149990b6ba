"""Guess which columns of a table hold the prompt and the answer, for errors about columns that fit no schema.

    {"Question", "Answer", "id"}  ->  {"prompt": "Question", "response": "Answer"}

Nothing is read by a guess: the error shows the mapping, and a person decides.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from hrm_align.data.columns import MEANINGS, is_metadata

# Pairs that stand together in one table, the surest first; then every name that a prompt or an answer goes by.
_PAIRS = (
    *(("question", "answer"), ("problem", "solution"), ("query", "response"), ("instruction", "response")),
    *(
        ("instruction", "output"),
        ("input", "output"),
        ("inputs", "targets"),
        ("source", "target"),
        ("user", "assistant"),
    ),
    *(
        ("question", "sql"),
        ("question", "query"),
        ("dialogue", "summary"),
        ("document", "summary"),
        ("article", "highlights"),
    ),
)
_PROMPTS = (
    *("prompt", "instruction", "question", "query", "problem", "input", "inputs", "user", "human", "request", "user_prompt"),
    *("user_input", "user_message", "question_text", "input_text", "source_text", "task_description", "q", "source", "text", "context"),
)  # fmt: skip
_ANSWERS = (
    *("response", "completion", "output", "answer", "solution", "target", "targets", "assistant", "reply", "gpt", "bot"),
    *("model_response", "expected_output", "expected_answer", "final_answer", "best_answer", "reference", "gold", "ground_truth"),
    *("output_text", "target_text", "summary", "code", "sql", "answers", "a", "label"),
)  # fmt: skip
_CHATS = ("messages", "conversation", "conversations", "chat", "dialog", "dialogue", "dialogs", "turns")
_SYSTEMS = ("system_prompt", "system_message", "system")
SIMILAR = 0.9  # `promt` and `prompt` have 0.91, `instruction_id` and `instruction` 0.88, `rating` and `grading` 0.77


def propose_columns(columns: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the mapping from schema columns to the given ones that would make a schema fit; empty without a guess.

    Args:
        columns: names of the columns in the data.
        known: names of all schema columns.
    """
    plain = {_plain(name): name for name in sorted(columns, reverse=True)}
    close = {name: get_close_matches(_plain(name), known, n=1, cutoff=SIMILAR) for name in sorted(columns)}
    plain |= {match[0]: name for name, match in close.items() if match and match[0] not in plain}  # misspelt names
    mapping = _known_pair(plain) or _conversation(plain) or _any_pair(plain)
    if not mapping:
        return {}
    system = next((plain[name] for name in _SYSTEMS if name in plain), None)
    mapping |= {"system": system} if system is not None else {}
    beside = [
        name for name in ("context", "history", "choices") if plain.get(name, name) not in (name, *mapping.values())
    ]
    mapping |= {name: plain[name] for name in beside}
    return {ours: theirs for ours, theirs in mapping.items() if ours != theirs}


def _plain(name: str) -> str:
    """Return a name in lower case, with its words joined by `_`: `User Input` and `userInput` are `user_input`."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)).strip("_").lower()


def _conversation(plain: Mapping[str, str]) -> dict[str, str]:
    chat = next((name for name in _CHATS if name in plain), None)
    if chat is None:
        return {}
    return {"conversations" if chat == "conversations" else "messages": plain[chat]}


def _known_pair(plain: Mapping[str, str]) -> dict[str, str]:
    pair = next((pair for pair in _PAIRS if plain.keys() >= {*pair}), None)
    return _pair_mapping(plain, *pair) if pair else {}


def _any_pair(plain: Mapping[str, str]) -> dict[str, str]:
    prompt = next((name for name in _PROMPTS if name in plain), None)
    answer = next((name for name in _ANSWERS if name in plain and name != prompt), None)
    return _pair_mapping(plain, prompt, answer) if prompt and answer else {}


def _pair_mapping(plain: Mapping[str, str], prompt: str, answer: str) -> dict[str, str]:
    if "instruction" in plain and "input" in plain and answer != "input":
        return {"instruction": plain["instruction"], "input": plain["input"], "output": plain[answer]}
    return {"prompt": plain[prompt], "response": plain[answer]}


def describe_proposal(columns: set[str], known: Iterable[str]) -> str:
    """Return the sentence of an error that says what to set for columns that fit no schema."""
    known = tuple(known)
    if mapping := propose_columns(columns, known):
        written = json.dumps(mapping, ensure_ascii=False)
        similar = {
            ours: theirs for ours, theirs in mapping.items() if get_close_matches(_plain(theirs), [ours], 1, SIMILAR)
        }
        hint = " and ".join(f"`{ours}` for `{theirs}`" for ours, theirs in similar.items())
        spare = sorted(columns - {*known, *mapping.values(), *MEANINGS})
        spare = [name for name in spare if not is_metadata(name)]
        ignored = f" --ignore_columns {shlex.join(spare)}" if spare else ""
        return (
            f"{f'Did you mean {hint}? ' if hint else ''}Use --columns '{written}'{ignored}, or set `columns` of the data set to {written}"
            f"{f' and `ignore_columns` to {json.dumps(spare, ensure_ascii=False)}' if spare else ''} in a recipe."
        )
    if "prompt" in columns:
        return "Use --format prompt_only if the rows have no answers, for rewards that need no reference."
    if "text" in {name.lower() for name in columns}:
        return (
            "A text alone has no prompt and no answer to train on. Split it into the columns `prompt` and `response`, or use "
            """--columns '{"prompt": "text"}' --format prompt_only for rewards that need no reference."""
        )
    example = """{"prompt": "COLUMN", "response": "COLUMN"}"""
    return (
        f"Rename the columns in the data, or use --columns '{example}', or set `columns` of the data set in a recipe."
    )

r"""Preference rows: pairs of a chosen and a rejected answer, ranked answers, and answers with a label (KTO).

    {"prompt": "2+2?", "chosen": "4", "rejected": "5"}                   ->  Example("2+2?", answer "4", rejected "5")
    {"chosen": "\n\nHuman: 2+2?\n\nAssistant: 4", "rejected": ...}       ->  the same; the prompt is all that stands before the last answer
    {"prompt": "2+2?", "responses": ["5", "4"], "scores": [1, 9]}        ->  the same; the best answer against the worst
    {"prompt": "2+2?", "completion": "5", "label": false}                ->  Example("2+2?", answer "5", desirable=False)

Every schema takes the columns of `schemas.OPTIONAL`, too. Both answers of a pair are one message of the assistant behind the same prompt:
a row whose earlier turns differ is refused, because later messages of the user would be learnt as part of an answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any

from hrm_align.data.examples import LABELS, PAIRS, Example
from hrm_align.data.schemas import (
    BEFORE_QUESTION,
    Schema,
    asked,
    build_examples,
    column,
    optional_text,
    text_answer,
)
from hrm_align.data.strict_json import RowError, require_text
from hrm_align.data.turns import Turn, parse_sharegpt, parse_turns, parsed
from hrm_align.errors import join_names
from hrm_align.messages import Message, is_absent

SCORED = "scored_response"
_PROMPTS = ("prompt", "question", "instruction", "input")  # names of the column of an explicit prompt
_HUMAN = re.compile(r"\s*Human:")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


SMALL_GAP = "no two answers with scores further apart than min_score_gap"


class LeftOut(Exception):
    """A sound row that is not used, with the reason."""


def from_pair(
    row: Mapping[str, Any], source: str, default_condition: str, min_score_gap: float | None = None
) -> list[Example]:
    """Convert pairs: `{"prompt"?, "chosen", "rejected", "score_chosen"?, "score_rejected"?, "margin"?}`.

    Each answer is a text, a message, or a list of messages, which may begin with the prompt. A text that begins with `Human:` is a
    dialogue as in Anthropic's HH.

    Raises:
        LeftOut: if the scores differ by no more than `min_score_gap`.
    """
    values = {name: column(row, name) for name in ("chosen", "rejected")}
    if all(map(is_absent, values.values())):
        raise RowError("both answers missing: `chosen` and `rejected` are empty")
    prompt, answers = _split_prompt(row, values)
    if answers[0] == answers[1]:
        raise RowError("identical answers: `chosen` and `rejected` are the same")
    margin = None if is_absent(row.get("margin")) else _number(row["margin"], "margin")
    gap = _stated_gap(row)
    if min_score_gap is not None and gap is None:
        raise RowError("no scores: `min_score_gap` needs the columns `score_chosen` and `score_rejected`")
    if min_score_gap is not None and gap is not None and gap <= min_score_gap:
        raise LeftOut(SMALL_GAP)
    return _examples(row, source, default_condition, prompt, [answers], margin)


def from_ranked(
    row: Mapping[str, Any], source: str, default_condition: str, min_score_gap: float | None = None
) -> list[Example]:
    """Convert ranked answers: `{"prompt", "responses": [text or messages], "scores": [number]}`; a higher score is better.

    Returns:
        The best answer against the worst; with `min_score_gap` all pairs whose scores differ by more, the largest difference first.

    Raises:
        LeftOut: if `min_score_gap` is given and no pair has a larger difference.
    """
    responses, scores = (_listed(column(row, name), name) for name in ("responses", "scores"))
    if len(responses) != len(scores):
        raise RowError(f"`responses` and `scores` differ in length: {len(responses)} and {len(scores)}")
    if len(responses) < 2:
        raise RowError(f"no pair: `responses` has {len(responses)} answer, and two are needed")
    numbers = [_number(score, f"scores[{place}]") for place, score in enumerate(scores)]
    prompt, answers = _split_prompt(row, {f"responses[{place}]": value for place, value in enumerate(responses)})
    ranked = sorted(range(len(answers)), key=lambda place: -numbers[place])
    for better, worse in combinations(ranked, 2):
        if answers[better] == answers[worse] and numbers[better] != numbers[worse]:
            raise RowError(f"identical answers: responses {better} and {worse} are the same, with different scores")
    pairs = sorted(combinations(ranked, 2), key=lambda pair: numbers[pair[1]] - numbers[pair[0]])
    if min_score_gap is None:
        if numbers[ranked[0]] == numbers[ranked[-1]]:
            raise RowError(f"a tie: all scores are {numbers[0]:g}")
        pairs = pairs[:1]
    chosen: list[tuple[Message, Message]] = []
    for better, worse in pairs:
        pair = answers[better], answers[worse]
        if numbers[better] - numbers[worse] > (min_score_gap or 0) and pair not in chosen:
            chosen.append(pair)
    if not chosen:
        raise LeftOut(SMALL_GAP)
    return _examples(row, source, default_condition, prompt, chosen)


def from_scored(
    row: Mapping[str, Any], source: str, default_condition: str, min_score_gap: float | None = None
) -> list[Example]:
    """Convert scored answers in rows of their own, `{"prompt", "response", "score"}`, which `merge_scored` has merged by prompt."""
    lists = {"responses": row["response"], "scores": row["score"]}
    if len(row["response"]) < 2:
        raise RowError(
            "no pair: the row is the only answer to its prompt; answers to one prompt must stand in consecutive rows"
        )
    return from_ranked({**row, **lists}, source, default_condition, min_score_gap)


def check_scored(row: Mapping[str, Any]) -> None:
    """Raise RowError if the answer, the score or the prompt of one scored answer cannot be used."""
    _number(column(row, "score"), "score")
    column(row, "prompt")
    _split_prompt(row, {"response": column(row, "response")})


def from_labelled(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert TRL's unpaired form: `{"prompt", "completion": text or messages, "label": bool}`; true is a desirable answer."""
    return _labelled(row, "completion", source, default_condition)


def from_labelled_messages(row: Mapping[str, Any], source: str, default_condition: str) -> list[Example]:
    """Convert conversations with a label for their last answer: `{"messages", "label": bool}`."""
    return _labelled(row, "messages", source, default_condition)


def _labelled(row: Mapping[str, Any], name: str, source: str, default_condition: str) -> list[Example]:
    prompt, answers = _split_prompt(row, {name: column(row, name)})
    label = column(row, "label")
    if isinstance(label, str):  # in CSV and TSV files every value is a text
        label = {"true": True, "false": False}.get(label.strip().lower(), label)
    if not isinstance(label, bool):
        raise RowError(
            f"`label` must be true or false: got {label!r:.60}; leave a label of another meaning out with --ignore_columns label"
        )
    turns = [*prompt, Turn(answers[0], True)]
    return [replace(example, desirable=label) for example in build_examples(turns, row, source, default_condition)]


PREFERENCE_SCHEMAS: dict[str, Schema] = {
    "preference": Schema(
        ("chosen", "rejected"),
        from_pair,
        (*_PROMPTS, "score_chosen", "score_rejected", "margin", *BEFORE_QUESTION),
        PAIRS,
    ),
    SCORED: Schema(("prompt", "response", "score"), from_scored, BEFORE_QUESTION, PAIRS),
    "ranked": Schema(("responses", "scores"), from_ranked, (*_PROMPTS, *BEFORE_QUESTION), PAIRS),
    "unpaired_preference": Schema(("prompt", "completion", "label"), from_labelled, BEFORE_QUESTION, LABELS),
    "labelled_messages": Schema(("messages", "label"), from_labelled_messages, (), LABELS),
}
PREFERENCE_COLUMNS = tuple(dict.fromkeys(name for schema in PREFERENCE_SCHEMAS.values() for name in schema.columns))
PREFERENCE_OPTIONAL = ("score_chosen", "score_rejected", "margin")


# --- Reading


def _examples(
    row: Mapping[str, Any],
    source: str,
    default_condition: str,
    prompt: list[Turn],
    pairs: Sequence[Sequence[Message]],
    margin: float | None = None,
) -> list[Example]:
    return [
        replace(example, rejected=rejected, margin=margin)
        for chosen, rejected in pairs
        for example in build_examples([*prompt, Turn(chosen, True)], row, source, default_condition)
    ]


def _split_prompt(row: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[list[Turn], list[Message]]:
    """Return the turns of the prompt and the answers to it.

    Args:
        row: the row, which may hold the prompt in a column of its own.
        values: by a name for errors, the answers as the row holds them.

    Raises:
        RowError: if the answers have different prompts or none, or if one of them is no answer of the assistant.
    """
    explicit = _explicit_prompt(row)
    conversations = {name: _conversation(value, name, explicit is not None) for name, value in values.items()}
    first, *others = conversations
    history = [turn.message for turn in conversations[first][:-1]]
    for name in others:
        other = [turn.message for turn in conversations[name][:-1]]
        if other != history:
            raise RowError(_describe_diverging(first, history, name, other))
    prompt = _joined(explicit, [Turn(message, False) for message in history], row, first)
    if prompt[-1].message.role == "assistant":
        raise RowError("the prompt ends with an assistant message: add the user or tool message to answer after it")
    return prompt, [turns[-1].message for turns in conversations.values()]


def _describe_diverging(first: str, history: list[Message], name: str, other: list[Message]) -> str:
    pairs = zip(history, other, strict=False)
    place = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(history), len(other)))
    return (
        f"diverging histories: message {place + 1} of `{first}` and `{name}` differs, and more messages follow; answers to "
        "one prompt may differ in the last message only"
    )


def _explicit_prompt(row: Mapping[str, Any]) -> list[Turn] | None:
    """Return the turns of the prompt that stands in a column of its own; None without one."""
    names = [name for name in _PROMPTS if not is_absent(row.get(name))]
    before = [name for name in BEFORE_QUESTION if not is_absent(row.get(name))]
    extra = None
    if names[:2] == ["instruction", "input"]:  # as in Alpaca's rows
        names, extra = names[:1], optional_text(row, "input")
    if len(names) > 1 and any(row[name] != row[names[0]] for name in names):
        listed = join_names([f"`{name}`" for name in names])
        raise RowError(f"two prompts: {listed} differ; leave one out with --ignore_columns {names[-1]}")
    value = row[names[0]] if names else None
    if before and not isinstance(value, str):
        raise RowError(f"`{before[0]}` stands before a question in a text of its own: write it into the messages")
    if value is None:
        return None
    if not isinstance(value, str):
        turns = _messages(value, names[0])
    elif value.startswith("\n\nHuman:"):
        turns = _dialogue(re.sub(r"\n\nAssistant:\s*\Z", "", value), names[0])
    else:
        turns = asked(value, names[0], row)
        if extra is not None:
            turns[-1] = Turn(Message("user", f"{turns[-1].message.content}\n\n{extra}"), False)
    return [Turn(turn.message, False) for turn in turns]


def _joined(explicit: list[Turn] | None, history: list[Turn], row: Mapping[str, Any], name: str) -> list[Turn]:
    """Return the turns of a prompt, from its own column and from the messages before the answers."""
    if explicit is None:
        if not history:
            raise RowError("no prompt: add the column `prompt`, or write the messages before the answers into both")
        return history
    if not history or history[0].message.role in ("assistant", "tool"):
        return [*explicit, *history]
    if history[: len(explicit)] == explicit:
        return history
    if len(explicit) == 1 and explicit[0].message.role == "user":
        text = explicit[0].message.content.strip()
        if any(turn.message.role == "user" and turn.message.content.strip() == text for turn in history):
            return history
    stated = next(column for column in _PROMPTS if not is_absent(row.get(column)))
    raise RowError(
        f"two prompts: `{stated}` and the first messages of `{name}` differ; leave one out, as with --ignore_columns {stated}"
    )


def _conversation(value: Any, name: str, has_prompt: bool) -> list[Turn]:
    """Return the turns of an answer, which is the last of them; raise RowError if it is no answer of the assistant."""
    if value is None:
        raise RowError(f"no answer: `{name}` is null")
    if isinstance(value, str):
        is_dialogue = value.startswith("\n\nHuman:") or (not has_prompt and _HUMAN.match(value))
        turns = _dialogue(value, name) if is_dialogue else [Turn(text_answer(require_text(value, name), name), True)]
    elif isinstance(value, Mapping | list):
        turns = _messages(value, name)
    else:
        raise RowError(f"`{name}` must be a text or messages: got {type(value).__name__}")
    last = turns[-1]
    if last.message.role != "assistant":
        raise RowError(f"not the assistant's answer: `{name}` ends with a {last.message.role} message")
    if not last.message.content.strip() and not last.message.tool_calls:
        raise RowError(f"empty answer: `{name}` has no text")
    if not last.trained:
        raise RowError(f"an answer of weight 0: the last message of `{name}`")
    return turns


def _messages(value: Any, name: str) -> list[Turn]:
    """Return the turns of a message or a list of messages, in OpenAI's and TRL's form or in ShareGPT's."""
    items = [value] if isinstance(value, Mapping) else value
    first = items[0] if isinstance(items, list) and items else None
    if isinstance(first, Mapping) and "from" in first and "role" not in first:
        return parse_sharegpt(items, name)
    return parse_turns(items, name)


def _dialogue(text: str, name: str) -> list[Turn]:
    """Return the turns of a dialogue as in Anthropic's HH, without white space around their texts."""
    parts = _SPEAKER.split("\n\n" + require_text(text, name).lstrip())
    speakers, texts = parts[1::2], parts[2::2]
    messages = [
        {"role": _ROLES[speaker], "content": content.strip()} for speaker, content in zip(speakers, texts, strict=True)
    ]
    return parse_turns(messages, name)


def _listed(value: Any, name: str) -> list[Any]:
    value = parsed(value, name) if isinstance(value, str) else value
    if not isinstance(value, list):
        raise RowError(f"`{name}` must be a list: got {value!r:.60}")
    return value


def _number(value: Any, name: str) -> float:
    """Return a number, which is a text in CSV and TSV files."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RowError(f"not a number: `{name}` is {value!r:.60}")
    return float(value)


def _stated_gap(row: Mapping[str, Any]) -> float | None:
    """Return the difference of `score_chosen` and `score_rejected`; None without them."""
    names = ("score_chosen", "score_rejected")
    scores = [None if is_absent(row.get(name)) else _number(row[name], name) for name in names]
    if scores == [None, None]:
        return None
    if None in scores:
        raise RowError(f"one score of two: `{names[scores.index(None)]}` is missing")
    gap = scores[0] - scores[1]  # type: ignore[operator]
    if gap < 0:
        raise RowError(f"the scores contradict: `score_chosen` {scores[0]:g} is below `score_rejected` {scores[1]:g}")
    return gap

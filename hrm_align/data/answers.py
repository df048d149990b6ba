"""Answers in other forms than one text: lists of correct answers, and the choices of multiple-choice rows.

`list_answers` reads a column that holds several correct answers:

    ["1912", "the year 1912"]                          ->  the same list
    {"value": "1912", "aliases": ["in 1912"], ...}     ->  ["1912", "in 1912"]                   (TriviaQA)
    {"text": ["1912"], "answer_start": [7]}            ->  ["1912"]                              (SQuAD)

`read_choices` reads `grading.choices` as pairs of a label and a text:

    ["Paris", "Lyon"]                                  ->  [("A", "Paris"), ("B", "Lyon")]       (MMLU)
    {"label": ["1", "2"], "text": ["Paris", "Lyon"]}   ->  [("1", "Paris"), ("2", "Lyon")]       (ARC)
    {"A": "Paris", "B": "Lyon"}                        ->  [("A", "Paris"), ("B", "Lyon")]       (MedQA)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

_OWN_LABEL = re.compile(r"\s*\(?([A-Z])[.):]\s+(?=\S)")  # of `A. Paris` and `(A) Paris`


def read_choices(choices: Any) -> list[tuple[str, str]]:
    """Return label and text of each choice. Labels that stand in the texts of a list (`A. Paris`) are removed there.

    Raises:
        ValueError: if the value is not of one of the forms above, with 2 to 26 choices and different labels.
    """
    if isinstance(choices, Mapping):
        if isinstance(choices.get("label"), list) and isinstance(choices.get("text"), list):
            labels, texts = choices["label"], choices["text"]
        else:
            labels, texts = [*choices.keys()], [*choices.values()]
        labels = [str(label) if isinstance(label, int) else label for label in labels]
    elif isinstance(choices, list):
        labels, texts = [*ascii_uppercase[: len(choices)]], _without_labels(choices)
    else:
        raise ValueError(f"{choices!r:.60} is neither a list nor an object")
    if not all(isinstance(item, str) and item.strip() for item in (*labels, *texts)):
        raise ValueError(f"{choices!r:.60} has a label or a choice that is not a text")
    labels = [label.strip() for label in labels]
    if (
        not 2 <= len(texts) <= 26
        or len(labels) != len(texts)
        or len({label.casefold() for label in labels}) < len(labels)
    ):
        raise ValueError(f"{choices!r:.60} has not 2 to 26 choices with one different label each")
    return [(label, text.strip()) for label, text in zip(labels, texts, strict=True)]


def _without_labels(texts: list[Any]) -> list[Any]:
    """Remove the labels of choices that all begin with theirs; convert numbers to text."""
    texts = [str(text) if isinstance(text, int | float) and not isinstance(text, bool) else text for text in texts]
    own = [_OWN_LABEL.match(text) if isinstance(text, str) else None for text in texts]
    letters = "".join(match[1] for match in own if match)
    if len(letters) < len(texts) or letters != ascii_uppercase[: len(texts)]:
        return texts
    return [text[match.end() :] for text, match in zip(texts, own, strict=True) if match]


def label_at(index: int, choices: Any) -> str:
    """Return the label of the choice with an index from 0.

    Raises:
        ValueError: if there is no such choice, or `choices` has no form of this module.
    """
    labels = [label for label, _ in read_choices(choices)]
    if not 0 <= index < len(labels):
        raise ValueError(f"{index} is not the index of one of {len(labels)} choices, counted from 0")
    return labels[index]


def list_answers(value: Any) -> list[Any] | None:
    """Return the correct answers of a column in one of the forms of this module; None for any other value."""
    if isinstance(value, Mapping):
        if isinstance(value.get("value"), str) and isinstance(value.get("aliases"), list):
            return [value["value"], *value["aliases"]]
        value = value.get("text")
    return value if isinstance(value, list) else None

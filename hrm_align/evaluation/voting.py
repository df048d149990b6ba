"""Answers that a grader reads as the same: self-consistency (majority vote, Wang et al. 2022) and the agreement of samples.

    Voter("numeric").order([example], [candidates])[0][0]  ->  Candidate(ids, "so 5", "stop", logprobs, score=6.0)  # 6 votes

Two answers are the same if the grader reads the same text in both, or gives 1 to the one with the other as the reference
(`{"a": 1}` and `{"a":1}` under `json`). The reference of the row, its tests and lists of correct answers are never read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.evaluation.best_of import Answered, Candidate, without_reference
from hrm_align.evaluation.grading import get_suite
from hrm_align.rendering import Message
from hrm_align.rewards.base import check_match
from hrm_align.rewards.scoring import score_all

_MEANING = ("choices", "database")  # entries of `grading` that say what an answer means, and not which answer is right
# Graders whose reading is all that they compare, or that grade by tests or a schema instead of the reference.
_BY_TEXT = ("exact", "answer", "code", "json_schema")


@dataclass(frozen=True)
class Voter:
    """Orders candidates by their votes: the number of candidates that are the same answer, which become their scores.

    Of equally many votes, the answer with the most probable candidate wins, and of the same answers the most probable candidate.
    An answer in which the grader reads nothing has 0 votes; an answer that did not end has none, and comes last.

    Args:
        match: name of the grader.
    """

    match: str

    def order(self, examples: Sequence[Example], groups: Sequence[Sequence[Candidate]]) -> list[list[Candidate]]:
        """See `best_of.Chooser`."""
        labels = label_same(self.match, examples, [_texts(group) for group in groups])
        return [_by_votes(group, own) for group, own in zip(groups, labels, strict=True)]


def _by_votes(group: Sequence[Candidate], labels: Sequence[int | None]) -> list[Candidate]:
    votes = Counter(labels)
    most_probable: dict[int | None, float] = {}
    for one, label in zip(group, labels, strict=True):
        most_probable[label] = max(one.logprob, most_probable.get(label, -math.inf))
    keyed: list[tuple[tuple[float, ...], Candidate]] = []
    for one, label in zip(group, labels, strict=True):
        if one.finish_reason != "stop":
            keyed.append(((math.inf,), one))
            continue
        count, highest = (0, one.logprob) if label is None else (votes[label], most_probable[label])
        keyed.append(((-count, -highest, label or 0, -one.logprob), one._replace(score=float(count))))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]


def _texts(group: Sequence[Candidate]) -> list[str | None]:
    return [one.text if one.finish_reason == "stop" else None for one in group]


def measure_confidence(match: str, examples: Sequence[Example], answered: Sequence[Answered]) -> list[dict[str, Any]]:
    """Return the confidences of each answer.

    Returns:
        For each answer `logprob` (in nats) and `tokens`; `probability`, that of the whole answer; `token_probability`, the
        geometric mean of the probabilities of its tokens (length-normalised); and with samples `agreement`, the share of them that
        are the same answer, an answer chosen among them included.
    """
    values: list[dict[str, Any]] = []
    for best, _ in answered:
        total, count = best.logprob, len(best.logprobs)
        probabilities = {"probability": math.exp(total), "token_probability": math.exp(total / count)}
        values.append({"logprob": total, "tokens": count, **probabilities})
    if any(samples for _, samples in answered):
        labels = label_same(match, examples, [_texts([best, *samples]) for best, samples in answered])
        for value, (own, *others) in zip(values, labels, strict=True):
            value["agreement"] = 0.0 if own is None else others.count(own) / len(others)
    return values


def label_same(
    match: str, examples: Sequence[Example], groups: Sequence[Sequence[str | None]]
) -> list[list[int | None]]:
    """Number the different answers of each group; texts with the same number are the same answer.

    Args:
        match: name of the grader.
        examples: the example of each group; its reference is not read.
        groups: texts; None for an answer that did not end.

    Returns:
        One number per text, counted from 0 in each group in the order of first occurrence; None for a text that is None or in
        which the grader reads nothing.
    """
    suite = get_suite(check_match(match))
    bare = [without_reference(example, _MEANING) for example in examples]
    # What the grader reads in each text.
    places = [(row, text) for row, group in enumerate(groups) for text in group if text is not None]
    read: dict[tuple[int, str], str | None] = {}
    if places:
        scores = score_all(suite, [text for _, text in places], [bare[row] for row, _ in places], extract=True)
        read = dict(zip(places, scores.extracted[match], strict=True))
    # Different readings of a group, each with the first text that has it: the first open one is compared with all other open ones.
    unlabelled: list[dict[str, str]] = [{} for _ in groups]
    for (row, text), reading in read.items():
        if reading is not None:
            unlabelled[row].setdefault(reading, text)
    numbers: list[dict[str, int]] = [{} for _ in groups]
    number = 0
    while any(unlabelled):
        pairs = []
        for row, readings in enumerate(unlabelled):
            if readings:
                first = next(iter(readings))
                reference, numbers[row][first] = readings.pop(first), number
                pairs += [(row, reading, text, reference) for reading, text in readings.items()]
        if pairs and match not in _BY_TEXT:
            rows = [replace(bare[row], answer=Message("assistant", reference)) for row, _, _, reference in pairs]
            values = score_all(suite, [text for _, _, text, _ in pairs], rows).values[match]
            for (row, reading, _, _), value in zip(pairs, values, strict=True):
                if value == 1:
                    numbers[row][reading] = number
                    del unlabelled[row][reading]
        number += 1
    return [
        [None if text is None or (reading := read[row, text]) is None else numbers[row][reading] for text in group]
        for row, group in enumerate(groups)
    ]

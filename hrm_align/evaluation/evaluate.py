"""Held-out evaluation: generate greedy answers to the prompts of training's renderer, grade them, and score them by group.

evaluate(model, tokenizer, examples, match="numeric").score.to_dict()
    -> {"score": 0.87, "numeric_match": 0.87, "n": 100, "correct": 87, "interval": [0.79, 0.92]}
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.grading import grade_answers
from hrm_align.rendering import Message, get_renderer, parse_condition
from hrm_align.rewards.base import check_match, metric_name
from hrm_align.rollouts.local import call_on_all, generate, share_out

FEW_SHOT = (0, *range(2, 9))
Z = 1.959964  # standard deviations on each side of a 95 % interval


@dataclass
class Score:
    """Score of `n` answers under one grader.

    Args:
        correct: number of answers with the value 1.
        n: number of answers.
        grader: name of the grader, from which the metric has its name (`sql_match`).
        partial: the values between 0 and 1, exclusive.
    """

    correct: int = 0
    n: int = 0
    grader: str = "exact"
    partial: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Add the value of one answer, from 0 to 1."""
        self.n += 1
        self.correct += value == 1
        if 0 < value < 1:
            self.partial.append(value)

    @property
    def rate(self) -> float:
        """Mean value, from 0 to 1; for a grader with the values 0 and 1 the share of correct answers. NaN without answers."""
        return (self.correct + sum(self.partial)) / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean.

        If all values are 0 or 1: the Wilson score interval (Wilson 1927), which stays between 0 and 1. Otherwise: the
        normal interval, clipped to 0 to 1; for a single value 0 to 1, because its variance cannot be estimated.
        """
        if not self.n:
            return math.nan, math.nan
        if not self.partial:
            centre = (self.correct + Z * Z / 2) / (self.n + Z * Z)
            spread = Z / (self.n + Z * Z) * math.sqrt(self.rate * (self.n - self.correct) + Z * Z / 4)
            return max(0.0, centre - spread), min(1.0, centre + spread)
        if self.n == 1:
            return 0.0, 1.0
        squares = self.correct + sum(value * value for value in self.partial)
        variance = max(0.0, squares - self.n * self.rate**2) / (self.n - 1)
        spread = Z * math.sqrt(variance / self.n)
        return max(0.0, self.rate - spread), min(1.0, self.rate + spread)

    def to_dict(self) -> dict[str, Any]:
        """Return `score`, the same value under the grader's metric name, `n`, `correct` and `interval`."""
        values = {"score": self.rate, metric_name(self.grader): self.rate}
        return {**values, "n": self.n, "correct": self.correct, "interval": list(self.interval)}


def percent(result: Mapping[str, Any]) -> str:
    """`87.3 %  (83.1 to 90.6)` of a score as `Score.to_dict` gives it."""
    low, high = result["interval"]
    return f"{100 * get_score(result):.1f} %  ({100 * low:.1f} to {100 * high:.1f})"


def get_score(result: Mapping[str, Any]) -> float:
    """The score of a result as `Score.to_dict` gives it, or of a record of an earlier version, which had no `score`."""
    return float(result["score"] if "score" in result else result["exact_match"])


@dataclass
class Evaluation:
    """Scores of a data set.

    Args:
        score: score over all rows.
        groups: scores by the rows' group label.
        samples: one entry per row: source, prompt, expected, generated, value, correct, and if requested extracted.
        unfinished: number of answers without an end token within the limit.
    """

    score: Score = field(default_factory=Score)
    groups: dict[str, Score] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return `grader`, the entries of `Score.to_dict` over all rows, `unfinished`, and `groups` (a score per group)."""
        groups = {name: score.to_dict() for name, score in sorted(self.groups.items())}
        total = {"grader": self.score.grader, **self.score.to_dict()}
        return {**total, "unfinished": self.unfinished, "groups": groups}


def last_turns(examples: Sequence[Example]) -> list[Example]:
    """Select the example of the last answer of each row, so that a conversation is graded once, with its given history."""
    return list({example.source: example for example in examples}.values())


def few_shot(examples: Sequence[Example], pool: Sequence[Example], shots: int, seed: int = 0) -> list[Example]:
    """Put `shots` solved examples of the same group before each question, separated by blank lines.

    Args:
        examples: single-turn examples.
        pool: examples to draw the solved ones from; a question is never drawn for itself.
        shots: number of solved examples, 0 or 2 to 8. The base model scores best with them under the condition
            `direct`.
        seed: seed of the draw.

    Raises:
        UserError: for a number outside the range, a conversation, or a pool with too few examples.
    """
    if shots not in FEW_SHOT:
        raise UserError(f"invalid value for few_shot: {shots}. Use 0, or 2 to 8 examples.")
    if not shots:
        return list(examples)
    pools: dict[str | None, list[Example]] = {}
    for example in pool:
        if len(example.messages) == 1:
            pools.setdefault(example.group, []).append(example)
    rng = random.Random(seed)
    return [_with_shots(example, pools.get(example.group, []), shots, rng) for example in examples]


def _with_shots(example: Example, pool: list[Example], shots: int, rng: random.Random) -> Example:
    if len(example.messages) != 1:
        raise UserError(
            f"{example.source}: few_shot needs single-turn rows without a system text. Leave the row out, or set few_shot to 0."
        )
    question = example.messages[0].content
    others = [other for other in pool if other.messages[0].content != question]
    if len(others) < shots:
        raise UserError(
            f"{example.source}: few_shot {shots} needs {shots} rows of group {example.group!r} with other questions, and "
            f"there are {len(others)}. Use a larger --few_shot_data."
        )
    solved = [f"{other.messages[0].content}\n{other.reference}" for other in rng.sample(others, shots)]
    message = Message(example.messages[0].role, "\n\n".join([*solved, question]))
    return replace(example, messages=(message,))


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    *,
    condition: str | None = None,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    match: str = "exact",
    share: bool = False,
    extract: bool = False,
) -> Evaluation:
    """Generate a greedy answer to every example and grade the answers.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: the model's tokenizer.
        examples: prompts and references.
        condition: condition for all prompts, instead of the examples' own.
        max_new_tokens: longest answer in tokens; an answer without an end token within them gets 0 and counts as
            unfinished.
        batch_size: prompts per batch.
        match: name of the grader, one of `hrm_align.rewards.base.match_names`.
        share: whether all processes of the run call this function; each of them then generates a part of the answers.
        extract: whether to add the part of the answer that the grader compared to each sample.

    Raises:
        UserError: for an unknown condition or grader, a row that cannot be graded, or a prompt that leaves no room for
            an answer.
        RunError: as in `hrm_align.evaluation.grading.grade_answers`.
    """
    check_match(match)
    if condition is not None:
        parse_condition(condition)
    renderer = get_renderer(tokenizer)
    room = model.config.max_position_embeddings - max_new_tokens
    prompts = []
    for example in examples:
        if not example.reference.strip():
            raise UserError(f"{example.source}: the row has no reference answer. Add one, or leave the row out.")
        prompts.append(renderer.prompt(example.messages, example.condition if condition is None else condition))
        if len(prompts[-1]) > room:
            raise UserError(
                f"{example.source}: the prompt has {len(prompts[-1])} tokens, and {max_new_tokens} new ones exceed the model's "
                f"{model.config.max_position_embeddings} positions. Lower --max_new_tokens, or shorten the prompt."
            )

    def answer(part: Sequence[list[int]]) -> list[list[int]]:
        return generate(model, part, max_new_tokens=max_new_tokens, batch_size=batch_size)

    def grade() -> Evaluation:
        return graded(examples, answers, tokenizer, match, extract=extract)

    answers = share_out(prompts, answer) if share else answer(prompts)
    return call_on_all(grade) if share else grade()


def graded(
    examples: Sequence[Example],
    answers: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerFast,
    match: str = "exact",
    *,
    extract: bool = False,
) -> Evaluation:
    """Grade generated answers; an answer without an end token gets 0.

    Args:
        examples: prompts and references.
        answers: token ids, one list per example.
        tokenizer: tokenizer of the model.
        match: name of the grader, one of `hrm_align.rewards.base.match_names`.
        extract: whether to add the part of the answer that the grader compared to each sample.

    Raises:
        UserError, RunError: as in `hrm_align.evaluation.grading.grade_answers`.
    """
    renderer, result = get_renderer(tokenizer), Evaluation(Score(grader=match))
    texts = [renderer.decode_response(ids) for ids in answers]
    grades = grade_answers(match, texts, examples, extract=extract)
    for example, ids, text, grade in zip(examples, answers, texts, grades, strict=True):
        finished = renderer.response_end_id in ids
        value = grade.value if finished else 0.0
        result.score.add(value)
        result.groups.setdefault(example.group or "all", Score(grader=match)).add(value)
        result.unfinished += not finished
        result.samples.append(
            {
                "source": example.source,
                "prompt": example.messages[-1].content,
                "expected": example.reference,
                "generated": text,
                **({"extracted": grade.extracted} if extract else {}),
                "value": value,
                "correct": value == 1,
            }
        )
    return result

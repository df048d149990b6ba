"""Held-out scores of generated answers, by group and with intervals, in the prompts that training used."""

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
from hrm_align.rendering import Message, parse_condition, renderer_of
from hrm_align.rewards.base import check_match, metric_name
from hrm_align.rollouts.local import generate, share_out

FEW_SHOT = (0, *range(2, 9))
Z = 1.959964  # of a 95 % interval


@dataclass
class Score:
    """What a grader gave for `n` answers.

    Args:
        correct: answers with full marks, 1.
        n: all answers.
        grader: names the score, as in `sql_match`.
        partial: values between 0 and 1.
    """

    correct: int = 0
    n: int = 0
    grader: str = "exact"
    partial: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Count one answer, by its value from 0 to 1."""
        self.n += 1
        self.correct += value == 1
        if 0 < value < 1:
            self.partial.append(value)

    @property
    def rate(self) -> float:
        """Mean value, from 0 to 1: the share of right answers, where a grader knows only right and wrong."""
        return (self.correct + sum(self.partial)) / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean.

        Of zeros and ones the Wilson score interval (Wilson 1927), which stays inside 0 to 1 at the ends. Of other values
        the normal interval, cut at 0 and 1; 0 to 1 for a single value, which has no spread.
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
        """As the command line prints it: `score`, the same under the grader's metric, `n`, `correct` and `interval`."""
        values = {"score": self.rate, metric_name(self.grader): self.rate}
        return {**values, "n": self.n, "correct": self.correct, "interval": list(self.interval)}


def percent(result: Mapping[str, Any]) -> str:
    """`87.3 %  (83.1 to 90.6)` of a score as `Score.to_dict` gives it."""
    low, high = result["interval"]
    return f"{100 * score_of(result):.1f} %  ({100 * low:.1f} to {100 * high:.1f})"


def score_of(result: Mapping[str, Any]) -> float:
    """The score of a result as `Score.to_dict` gives it, or of a record of an earlier version, which had no `score`."""
    return float(result["score"] if "score" in result else result["exact_match"])


@dataclass
class Evaluation:
    """The score of a data set.

    Args:
        score: over all rows.
        groups: the same by the rows' own label.
        samples: one entry a row: source, prompt, expected, generated, value, correct, and if requested extracted.
        unfinished: answers that had no end token within the limit.
    """

    score: Score = field(default_factory=Score)
    groups: dict[str, Score] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0

    def to_dict(self) -> dict[str, Any]:
        """One object: the `grader`, `Score.to_dict` over all rows, `unfinished`, and `Score.to_dict` of each group."""
        groups = {name: score.to_dict() for name, score in sorted(self.groups.items())}
        total = {"grader": self.score.grader, **self.score.to_dict()}
        return {**total, "unfinished": self.unfinished, "groups": groups}


def last_turns(examples: Sequence[Example]) -> list[Example]:
    """The last answer of each row: a conversation is graded once, with its history as given."""
    return list({example.source: example for example in examples}.values())


def few_shot(examples: Sequence[Example], pool: Sequence[Example], shots: int, seed: int = 0) -> list[Example]:
    """Put `shots` solved examples of the same group before each question, blank lines between.

    Args:
        examples: single-turn examples.
        pool: where the solved ones are drawn from, never the question itself.
        shots: how many, 0 or 2 to 8; `direct` with them is the base model's strongest setup.
        seed: of the draw.

    Raises:
        UserError: for a number outside the range, a conversation, or a pool too small.
    """
    if shots not in FEW_SHOT:
        raise UserError(f"few_shot is {shots}: use 0, or 2 to 8 examples.")
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
        raise UserError(f"{example.source}: few_shot needs single-turn rows without a system text.")
    question = example.messages[0].content
    others = [other for other in pool if other.messages[0].content != question]
    if len(others) < shots:
        raise UserError(
            f"{example.source}: few_shot {shots} needs {shots} rows of group {example.group!r} with other questions, "
            f"there are {len(others)}: name a larger --few_shot_data."
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
    """Answer every example greedily and grade the answers.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: its tokenizer.
        examples: what to ask, and the references.
        condition: asks all of them under this condition instead of their own.
        max_new_tokens: the longest answer; a longer one counts as wrong and as unfinished.
        batch_size: prompts a batch.
        match: the grader: one of `hrm_align.rewards.base.match_names`.
        share: whether all processes of a run are here, each of which then answers its part.
        extract: add to each sample what the grader read of the answer.

    Raises:
        UserError: for an unknown condition or grader, a row that cannot be graded, or a prompt that leaves no room for an
            answer.
        RunError: as `hrm_align.evaluation.grading.grade_answers`.
    """
    check_match(match)
    if condition is not None:
        parse_condition(condition)
    renderer = renderer_of(tokenizer)
    room = model.config.max_position_embeddings - max_new_tokens
    prompts = []
    for example in examples:
        if not example.reference.strip():
            raise UserError(f"{example.source}: the row has no answer to compare with: add one, or leave the row out.")
        prompts.append(renderer.prompt(example.messages, example.condition if condition is None else condition))
        if len(prompts[-1]) > room:
            raise UserError(
                f"{example.source}: the prompt has {len(prompts[-1])} tokens, and with {max_new_tokens} new ones it "
                f"passes the model's {model.config.max_position_embeddings}: lower --max_new_tokens or shorten it."
            )

    def answer(part: Sequence[list[int]]) -> list[list[int]]:
        return generate(model, part, max_new_tokens=max_new_tokens, batch_size=batch_size)

    answers = share_out(prompts, answer) if share else answer(prompts)
    return graded(examples, answers, tokenizer, match, extract=extract)


def graded(
    examples: Sequence[Example],
    answers: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerFast,
    match: str = "exact",
    *,
    extract: bool = False,
) -> Evaluation:
    """Grade answers that have been generated; one without an end token gets 0.

    Args:
        examples: what was asked.
        answers: token ids, one list an example.
        tokenizer: of the model.
        match: one of `hrm_align.rewards.base.match_names`.
        extract: add to each sample what the grader read of the answer.

    Raises:
        UserError, RunError: as `hrm_align.evaluation.grading.grade_answers`.
    """
    renderer, result = renderer_of(tokenizer), Evaluation(Score(grader=match))
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

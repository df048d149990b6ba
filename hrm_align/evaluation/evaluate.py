"""Held-out exact match of generated answers, by group and with intervals, in the prompts that training used."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.rendering import Message, parse_condition, renderer_of
from hrm_align.rewards.matching import MATCHERS
from hrm_align.rollouts.local import generate, share_out

FEW_SHOT = (0, *range(2, 9))


@dataclass
class Score:
    """How many of `n` answers were right."""

    correct: int = 0
    n: int = 0

    def add(self, right: bool) -> None:
        """Count one answer."""
        self.correct += right
        self.n += 1

    @property
    def rate(self) -> float:
        """Share of right answers, from 0 to 1."""
        return self.correct / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval (Wilson 1927), which stays inside 0 to 1 at the ends."""
        if not self.n:
            return math.nan, math.nan
        z = 1.959964
        centre = (self.correct + z * z / 2) / (self.n + z * z)
        spread = z / (self.n + z * z) * math.sqrt(self.rate * (self.n - self.correct) + z * z / 4)
        return max(0.0, centre - spread), min(1.0, centre + spread)

    def to_dict(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {"exact_match": self.rate, "n": self.n, "correct": self.correct, "interval": list(self.interval)}


@dataclass
class Evaluation:
    """The score of a data set.

    Args:
        score: over all rows.
        groups: the same by the rows' own label.
        samples: one entry a row: source, prompt, expected, generated, correct.
        unfinished: answers that had no end token within the limit.
    """

    score: Score = field(default_factory=Score)
    groups: dict[str, Score] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0

    def to_dict(self) -> dict[str, Any]:
        """One object: `exact_match`, `n`, `interval`, `unfinished`, and the same per group."""
        groups = {name: score.to_dict() for name, score in sorted(self.groups.items())}
        return {**self.score.to_dict(), "unfinished": self.unfinished, "groups": groups}


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
) -> Evaluation:
    """Answer every example greedily and compare.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: its tokenizer.
        examples: what to ask, and the expected answers.
        condition: asks all of them under this condition instead of their own.
        max_new_tokens: the longest answer; a longer one counts as wrong and as unfinished.
        batch_size: prompts a batch.
        match: how answers are compared: a key of `MATCHERS`.
        share: whether all processes of a run are here, each of which then answers its part.

    Raises:
        UserError: for an unknown condition or match, a row that cannot be graded so, or a prompt that leaves no room for an
            answer.
    """
    if match not in MATCHERS:
        raise UserError(f"unknown match {match!r}: use one of {', '.join(MATCHERS)}.")
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
    return graded(examples, answers, tokenizer, match)


def graded(
    examples: Sequence[Example],
    answers: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerFast,
    match: str = "exact",
) -> Evaluation:
    """Grade answers that have been generated; one without an end token counts as wrong.

    Args:
        examples: what was asked.
        answers: token ids, one list an example.
        tokenizer: of the model.
        match: one of `MATCHERS`.

    Raises:
        UserError: for a row that cannot be graded so.
    """
    renderer, result = renderer_of(tokenizer), Evaluation()
    for example, ids in zip(examples, answers, strict=True):
        text = renderer.decode_response(ids)
        finished = renderer.response_end_id in ids
        verdict = MATCHERS[match](text, example)
        right = finished and verdict
        result.score.add(right)
        result.groups.setdefault(example.group or "all", Score()).add(right)
        result.unfinished += not finished
        result.samples.append(
            {
                "source": example.source,
                "prompt": example.messages[-1].content,
                "expected": example.reference,
                "generated": text,
                "correct": right,
            }
        )
    return result

"""Answers to prompts, and best of n: sample several answers to each prompt, and choose one by a reward.

    answer_questions(model, tokenizer, examples, prompts, sampling=Sampling(8), chooser=RewardRanker(spec), max_new_tokens=64)[0]
        -> Answered(best=Candidate(ids, "5", "stop", score=1.0, logprobs=[...]), samples=[...])

Log-probabilities are those of the sampler, at its temperature (1 for greedy answers); the parity gate compares them with the
trainer's. `voting.Voter` chooses the answer that is given most often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.data.examples import Example
from hrm_align.errors import RunError, UserError
from hrm_align.models.reward_loading import Scorer
from hrm_align.rendering import Message, get_renderer
from hrm_align.rewards.base import RewardSpec, match_names
from hrm_align.rewards.scoring import score_all
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.distributed import share_out
from hrm_align.rollouts.engine import Decoding
from hrm_align.rollouts.local import complete, draw_seeds


class Candidate(NamedTuple):
    """An answer.

    Args:
        ids: token ids, the end token included if there is one.
        text: the decoded text.
        finish_reason: `stop`, or `length` for an answer that did not end.
        logprobs: log-probability of each token, in nats.
        score: reward or votes, where candidates were compared; None for an answer that did not end or cannot be scored.
    """

    ids: list[int]
    text: str
    finish_reason: str
    logprobs: list[float]
    score: float | None = None

    @property
    def logprob(self) -> float:
        """Log-probability of the answer, in nats."""
        return math.fsum(self.logprobs)


@dataclass(frozen=True)
class Sampling:
    """How the candidates of a prompt are sampled.

    Args:
        n: answers to each prompt.
        temperature: of the sampling, above 0.
        seed: seed of the sampling; None draws one from the global generator, which is not possible in several processes.
        top_k, top_p: as in `Decoding`.

    Raises:
        UserError: for a value out of its range.
    """

    n: int
    temperature: float = 1.0
    seed: int | None = 0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        self.decoding(1)

    def decoding(self, max_new_tokens: int) -> Decoding:
        """Return the settings for answers of at most this length, in tokens."""
        return Decoding(max_new_tokens, self.temperature, self.top_k, self.top_p)


class Chooser(Protocol):
    """Puts candidates in order. `examples` have the prompts, with their conditions; a chooser never reads their references."""

    def order(self, examples: Sequence[Example], groups: Sequence[Sequence[Candidate]]) -> list[list[Candidate]]:
        """Return the candidates of each prompt with their scores, the best one first, and those without a score last."""


class Answered(NamedTuple):
    """The answer to a prompt, and the answers sampled for it: the best one first if there is a chooser, else as they were drawn."""

    best: Candidate
    samples: list[Candidate]


def answer_questions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int = 64,
    sampling: Sampling | None = None,
    chooser: Chooser | None = None,
    share: bool = False,
) -> list[Answered]:
    """Answer prompts: with a chooser by the best of the sampled answers, else greedily.

    Args:
        model: the model that answers.
        tokenizer: its tokenizer.
        examples: what the chooser may read of each prompt.
        prompts: token ids of each prompt.
        max_new_tokens: longest answer, in tokens.
        batch_size: answers that are generated together.
        sampling: answers to sample; None for none.
        chooser: chooses among the sampled answers.
        share: whether all processes of the run call this function; each of them then answers a part of the prompts. The sampled
            answers do not depend on the number of processes.
    """
    n = sampling.n if sampling else 0
    seeds = draw_seeds(len(prompts) * n, sampling.seed) if sampling else []

    def answer(rows: Sequence[int]) -> list[Answered]:
        samples: list[list[Candidate]] = [[] for _ in rows]
        if sampling is not None:
            repeated = [prompts[row] for row in rows for _ in range(n)]
            own_seeds = [seed for row in rows for seed in seeds[row * n : (row + 1) * n]]
            decoding = sampling.decoding(max_new_tokens)
            drawn = draw_candidates(model, tokenizer, repeated, own_seeds, decoding, batch_size)
            samples = [drawn[start : start + n] for start in range(0, len(drawn), n)]
        if chooser is not None:
            ordered = chooser.order([examples[row] for row in rows], samples)
            return [Answered(group[0], group) for group in ordered]
        greedy = Decoding(max_new_tokens, greedy=True)
        own = [prompts[row] for row in rows]
        best = draw_candidates(model, tokenizer, own, [0] * len(own), greedy, batch_size)
        return [Answered(one, group) for one, group in zip(best, samples, strict=True)]

    rows = range(len(prompts))
    return share_out(rows, answer) if share else answer(rows)


def draw_candidates(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    decoding: Decoding,
    batch_size: int = 64,
) -> list[Candidate]:
    """Draw one answer per prompt and seed."""
    renderer = get_renderer(tokenizer)
    return [
        Candidate(one.ids, renderer.decode_response(one.ids), one.finish or "length", one.logprobs)
        for one in complete(model, prompts, seeds, decoding, batch_size=batch_size)
    ]


@dataclass(frozen=True)
class ModelRanker:
    """Orders candidates by the scores of a reward model. An answer that did not end is not scored."""

    scorer: Scorer

    def order(self, examples: Sequence[Example], groups: Sequence[Sequence[Candidate]]) -> list[list[Candidate]]:
        """See `Chooser`."""
        asked = _ended(examples, groups)
        scores = self.scorer.score([(example.messages, one.text, example.condition) for example, one in asked])
        return _by_score(groups, scores)


@dataclass(frozen=True)
class RewardRanker:
    """Orders candidates by a reward that needs no reference, such as a format, a length or a judge.

    An answer that did not end is not scored.

    Raises:
        UserError: for a reward that compares answers with the reference of their row, or runs its tests.
    """

    spec: RewardSpec

    def __post_init__(self) -> None:
        spec = self.spec
        if spec.file is None and spec.name in match_names() and spec.name != "json_schema":
            raise UserError(
                f"the reward {spec.label} compares an answer with the reference or the tests of its row, and answers must be ranked "
                "without these. Rank by a reward model or a judge, or use --vote."
            )

    def order(self, examples: Sequence[Example], groups: Sequence[Sequence[Candidate]]) -> list[list[Candidate]]:
        """See `Chooser`.

        Raises:
            UserError: for a row that the reward cannot score.
            RunError: if no answer can be scored.
        """
        asked = [(without_reference(example, ("schema",)), one.text) for example, one in _ended(examples, groups)]
        if not asked:
            return _by_score(groups, [])
        label = self.spec.label
        with RewardSuite([self.spec], workers=1, deadline=60.0, row_seconds=10.0) as suite:
            scores = score_all(suite, [text for _, text in asked], [example for example, _ in asked])
            values = scores.totals(suite.weights)
        for row, reason in scores.why.get(label, {}).items():
            if scores.values[label][row] is None:
                raise UserError(reason)
        if all(value is None for value in values):
            detail = scores.faults[0].detail if scores.faults else "its weight is 0, or it has no value for them"
            raise RunError(
                f"the reward {label} scored no answer ({detail}). Correct the cause, or rank by another one."
            )
        return _by_score(groups, values)


def without_reference(example: Example, keep: Sequence[str] = ()) -> Example:
    """Return the example without its reference, and without its grading data but the entries to keep."""
    grading = {key: example.grading[key] for key in keep if key in example.grading}
    return replace(example, answer=Message("assistant", ""), grading=grading, rejected=None)


def _ended(examples: Sequence[Example], groups: Sequence[Sequence[Candidate]]) -> list[tuple[Example, Candidate]]:
    pairs = [(example, one) for example, group in zip(examples, groups, strict=True) for one in group]
    return [(example, one) for example, one in pairs if one.finish_reason == "stop"]


def _by_score(groups: Sequence[Sequence[Candidate]], scores: Sequence[float | None]) -> list[list[Candidate]]:
    """Add the scores of the answers that ended, in their order, and sort each group by them."""
    remaining = iter(scores)
    scored = [
        [one._replace(score=next(remaining)) if one.finish_reason == "stop" else one for one in group]
        for group in groups
    ]
    return [sorted(group, key=lambda one: math.inf if one.score is None else -one.score) for group in scored]

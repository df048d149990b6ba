"""Best of n: sample several answers to each prompt, and take the one to which a reward model gives the highest score.

ranker = Ranker(Scorer.load("runs/my-reward"), n=8, temperature=1.0, seed=0)
ranker.rank(model, tokenizer, [Question(messages, "direct")], max_new_tokens=64)[0][0]  ->  Candidate(ids, "5", "stop", 1.3)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.models.reward_loading import Scorer
from hrm_align.rendering import Message, get_renderer
from hrm_align.rollouts.local import generate


class Question(NamedTuple):
    """A prompt to answer, with its condition."""

    messages: Sequence[Message]
    condition: str


class Candidate(NamedTuple):
    """A sampled answer: its token ids, its text, `stop` or `length`, and its score; None if it did not end."""

    ids: list[int]
    text: str
    finish_reason: str
    score: float | None


@dataclass(frozen=True)
class Ranker:
    """Samples answers and ranks them by their scores.

    Args:
        scorer: the reward model.
        n: answers to each prompt.
        temperature: of the sampling, above 0.
        seed: seed of the sampling; None draws one from the global generator.
    """

    scorer: Scorer
    n: int
    temperature: float
    seed: int | None = None

    def rank(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        questions: Sequence[Question],
        *,
        max_new_tokens: int,
        batch_size: int = 64,
    ) -> list[list[Candidate]]:
        """Return the candidates of each question, the best one first. An answer that did not end is not scored, and comes last.

        Args:
            model: the model that answers.
            tokenizer: its tokenizer.
            questions: the prompts.
            max_new_tokens: longest answer, in tokens.
            batch_size: answers that are generated together.
        """
        renderer = get_renderer(tokenizer)
        repeated = [question for question in questions for _ in range(self.n)]
        prompts = [renderer.prompt(question.messages, question.condition) for question in repeated]
        settings = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
        answers = generate(model, prompts, temperature=self.temperature, seed=self.seed, **settings)
        ended = [index for index, ids in enumerate(answers) if ids[-1:] == [renderer.response_end_id]]
        texts = [renderer.decode_response(ids) for ids in answers]
        scores = self.scorer.score([(repeated[i].messages, texts[i], repeated[i].condition) for i in ended])
        by_index = dict(zip(ended, scores, strict=True))
        candidates = [
            Candidate(ids, text, "stop" if index in by_index else "length", by_index.get(index))
            for index, (ids, text) in enumerate(zip(answers, texts, strict=True))
        ]
        groups = [candidates[start : start + self.n] for start in range(0, len(candidates), self.n)]
        return [sorted(group, key=_by_score) for group in groups]


def _by_score(candidate: Candidate) -> float:
    return math.inf if candidate.score is None else -candidate.score

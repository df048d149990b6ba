"""Groups of answers to the same prompt, graded; groups in which every answer is paid alike are drawn again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from transformers import PreTrainedModel

from hrm_align.data.examples import Example
from hrm_align.rendering import Renderer
from hrm_align.rewards.suite import Fault, RewardSuite
from hrm_align.rollouts.local import Completion, Decoding, sample

ALIKE = 1e-6  # rewards of a group that differ by less teach nothing


@dataclass
class Rollouts:
    """Graded answers, one entry each.

    Args:
        rows: places of the prompts; the answers of a group stand next to each other.
        completions: as sampled.
        texts: as rewards and people read them.
        rewards: by name of the reward; None where it cannot be graded.
        totals: their weighted sums; None where no reward could be graded.
        drawn: groups that were sampled, those that were replaced included.
        silent: groups among them in which every answer was paid alike.
        graded, paid: graded answers of all those groups, and the sum of their totals. What is kept after a replacement has
            been chosen by its rewards, and says nothing of how good the model is.
        faults: of rewards that failed.
        sampling_seconds, grading_seconds: what it took.
    """

    rows: list[int] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rewards: dict[str, list[float | None]] = field(default_factory=dict)
    totals: list[float | None] = field(default_factory=list)
    drawn: int = 0
    silent: int = 0
    graded: int = 0
    paid: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    sampling_seconds: float = 0.0
    grading_seconds: float = 0.0

    def put(self, places: Sequence[int], other: Rollouts) -> None:
        """Take the answers of other rollouts into these places."""
        for source, place in enumerate(places):
            self.rows[place], self.totals[place] = other.rows[source], other.totals[source]
            self.completions[place], self.texts[place] = other.completions[source], other.texts[source]
            for name, values in self.rewards.items():
                values[place] = other.rewards[name][source]
        self.drawn, self.silent = self.drawn + other.drawn, self.silent + other.silent
        self.graded, self.paid = self.graded + other.graded, self.paid + other.paid
        self.faults += other.faults
        self.sampling_seconds += other.sampling_seconds
        self.grading_seconds += other.grading_seconds


class GroupSampler:
    """Samples and grades groups of answers.

    Args:
        examples: the prompts, with what their answers are graded by.
        renderer: of the model's tokenizer.
        suite: the rewards.
        decoding: how answers are drawn.
        group_size: answers to a prompt.
        max_resamples: how often the silent groups of a draw are replaced by groups of other prompts (the dynamic sampling
            of DAPO, Yu et al. 2025).
        seed: of all draws.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        renderer: Renderer,
        suite: RewardSuite,
        decoding: Decoding,
        *,
        group_size: int,
        max_resamples: int = 0,
        seed: int = 0,
    ):
        self.examples, self.suite, self.decoding = examples, suite, decoding
        self.group_size, self.max_resamples, self._seed = group_size, max_resamples, seed
        self._renderer = renderer
        self.prompts = [renderer.prompt(example.messages, example.condition) for example in examples]

    def draw(self, model: PreTrainedModel, rows: Sequence[int], *, number: int, offset: int = 0) -> Rollouts:
        """Answers to the prompts at `rows`.

        Args:
            model: that answers.
            rows: places of prompts, each as often as it is to be answered.
            number: of this draw in the run. With the seed it fixes what is drawn.
            offset: place of the first row in the draw of all processes together.

        Returns:
            As many answers as rows; those of replaced groups have other rows.
        """
        rollouts = self._graded(model, rows, f"{self._seed} {number} 0", offset)
        for attempt in range(1, self.max_resamples + 1):
            silent = silent_groups(rollouts.totals, self.group_size)
            if not silent:
                break
            key = f"{self._seed} {number} {attempt}"
            places = [group * self.group_size + i for group in silent for i in range(self.group_size)]
            others = self._others(rollouts.rows, len(silent), f"{key} {offset}")
            rollouts.put(places, self._graded(model, others, key, offset))
        return rollouts

    def draw_ungraded(
        self, model: PreTrainedModel, rows: Sequence[int], *, number: int, max_new_tokens: int
    ) -> list[Completion]:
        """Answers for a comparison of models: drawn as those of a rollout, shorter, and not graded.

        Args:
            model: that answers.
            rows: places of prompts, each as often as it is to be answered.
            number: of this draw in the run.
            max_new_tokens: of an answer; at most that of a rollout.
        """
        seeds = [_seed(f"{self._seed} {number} ungraded {place}") for place in range(len(rows))]
        shorter = min(max_new_tokens, self.decoding.max_new_tokens)
        prompts = [self.prompts[row] for row in rows]
        return sample(model, prompts, seeds, replace(self.decoding, max_new_tokens=shorter))

    def _others(self, rows: Sequence[int], groups: int, key: str) -> list[int]:
        """Places of prompts that are not being answered yet, as far as there are any."""
        rng, taken = random.Random(key), set(rows)
        free = [row for row in range(len(self.examples)) if row not in taken] or list(range(len(self.examples)))
        chosen = rng.sample(free, groups) if len(free) >= groups else rng.choices(free, k=groups)
        return [row for row in chosen for _ in range(self.group_size)]

    def _graded(self, model: PreTrainedModel, rows: Sequence[int], key: str, offset: int) -> Rollouts:
        start = time.perf_counter()
        seeds = [_seed(f"{key} {offset + place}") for place in range(len(rows))]
        completions = sample(model, [self.prompts[row] for row in rows], seeds, self.decoding)
        texts = [self._renderer.decode_response(completion.ids) for completion in completions]
        sampled = time.perf_counter()
        scores = self.suite.score(texts, [self.examples[row] for row in rows])
        totals = scores.totals(self.suite.weights)
        known = [total for total in totals if total is not None]
        return Rollouts(
            list(rows),
            completions,
            texts,
            scores.values,
            totals,
            drawn=len(rows) // self.group_size,
            silent=len(silent_groups(totals, self.group_size)),
            graded=len(known),
            paid=sum(known),
            faults=list(scores.faults),
            sampling_seconds=sampled - start,
            grading_seconds=time.perf_counter() - sampled,
        )


def silent_groups(totals: Sequence[float | None], group_size: int) -> list[int]:
    """Numbers of the groups that teach nothing: every graded answer is paid alike, or fewer than two are graded."""
    found = []
    for group in range(len(totals) // group_size):
        paid = [total for total in totals[group * group_size : (group + 1) * group_size] if total is not None]
        if not paid or max(paid) - min(paid) < ALIKE:
            found.append(group)
    return found


def pass_at_k(right: int, n: int, k: int) -> float:
    """Unbiased estimate that one of `k` answers is right, from `right` of `n` samples (Chen et al. 2021)."""
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def _seed(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") >> 1

"""Groups of trajectories from the same prompt: drawn, graded, and drawn again where every answer is paid alike."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from hrm_align.data.examples import Example
from hrm_align.rendering import Message, Renderer
from hrm_align.rewards.suite import Fault, RewardSuite
from hrm_align.rollouts.engine import Decoding, Engine
from hrm_align.rollouts.local import sample
from hrm_align.rollouts.trajectories import Step, Trajectory

ALIKE = 1e-6  # rewards of a group that differ by less teach nothing


@dataclass
class Rollout:
    """Graded trajectories, and what it took to get them.

    Args:
        trajectories: those of a group stand next to each other.
        drawn: groups that were sampled, those that were replaced included.
        silent: groups among them in which every answer was paid alike.
        graded, paid: graded answers of all those groups, and the sum of their rewards. What is kept after a replacement has
            been chosen by its rewards, and says nothing of how good the model is.
        faults: of rewards that failed.
        sampling_seconds, grading_seconds: what it took.
    """

    trajectories: list[Trajectory] = field(default_factory=list)
    drawn: int = 0
    silent: int = 0
    graded: int = 0
    paid: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    sampling_seconds: float = 0.0
    grading_seconds: float = 0.0

    @property
    def rewards(self) -> list[float | None]:
        """The weighted sum of each trajectory."""
        return [trajectory.reward for trajectory in self.trajectories]

    def replace(self, places: Sequence[int], other: Rollout) -> None:
        """Take the trajectories of another rollout into these places."""
        for place, trajectory in zip(places, other.trajectories, strict=True):
            self.trajectories[place] = trajectory
        self.drawn, self.silent = self.drawn + other.drawn, self.silent + other.silent
        self.graded, self.paid = self.graded + other.graded, self.paid + other.paid
        self.faults += other.faults
        self.sampling_seconds += other.sampling_seconds
        self.grading_seconds += other.grading_seconds


class GroupSampler:
    """Samples and grades groups of trajectories.

    Args:
        engine: that draws; `sync` it before each draw.
        examples: the prompts, with what their answers are graded by.
        renderer: of the model's tokenizer. Each prompt is rendered once.
        suite: the rewards.
        decoding: how answers are drawn.
        group_size: answers to a prompt.
        max_resamples: how often the silent groups of a draw are replaced by groups of other prompts (the dynamic sampling
            of DAPO, Yu et al. 2025).
        seed: of all draws.
    """

    def __init__(
        self,
        engine: Engine,
        examples: Sequence[Example],
        renderer: Renderer,
        suite: RewardSuite,
        decoding: Decoding,
        *,
        group_size: int,
        max_resamples: int = 0,
        seed: int = 0,
    ):
        self.engine, self.examples, self.suite, self.decoding = engine, examples, suite, decoding
        self.group_size, self.max_resamples, self._seed = group_size, max_resamples, seed
        self._renderer = renderer
        self._prompts = [renderer.prompt(example.messages, example.condition) for example in examples]

    def draw(self, rows: Sequence[int], *, number: int, offset: int = 0) -> Rollout:
        """Graded answers to the prompts at `rows`.

        Args:
            rows: places of prompts, each as often as it is to be answered.
            number: of this draw in the run. With the seed it fixes what is drawn.
            offset: place of the first row in the draw of all processes together.

        Returns:
            As many trajectories as rows; those of replaced groups have other rows.
        """
        rollout = self._graded(rows, f"{self._seed} {number} 0", offset)
        for attempt in range(1, self.max_resamples + 1):
            silent = silent_groups(rollout.rewards, self.group_size)
            if not silent:
                break
            key = f"{self._seed} {number} {attempt}"
            places = [group * self.group_size + i for group in silent for i in range(self.group_size)]
            taken = {trajectory.row for trajectory in rollout.trajectories}
            others = self._others(taken, len(silent), f"{key} {offset}")
            rollout.replace(places, self._graded(others, key, offset))
        return rollout

    def draw_ungraded(self, rows: Sequence[int], *, number: int, max_new_tokens: int) -> list[Trajectory]:
        """Answers for a comparison of models: drawn as those of a rollout, shorter, and not graded.

        Args:
            rows: places of prompts, each as often as it is to be answered.
            number: of this draw in the run.
            max_new_tokens: of an answer; at most that of a rollout.
        """
        seeds = [_seed(f"{self._seed} {number} ungraded {place}") for place in range(len(rows))]
        shorter = min(max_new_tokens, self.decoding.max_new_tokens)
        return self._drawn(rows, seeds, replace(self.decoding, max_new_tokens=shorter))

    def _others(self, taken: set[int], groups: int, key: str) -> list[int]:
        """Places of prompts that are not being answered yet, as far as there are any."""
        rng = random.Random(key)
        free = [row for row in range(len(self.examples)) if row not in taken] or list(range(len(self.examples)))
        chosen = rng.sample(free, groups) if len(free) >= groups else rng.choices(free, k=groups)
        return [row for row in chosen for _ in range(self.group_size)]

    def _graded(self, rows: Sequence[int], key: str, offset: int) -> Rollout:
        """Draw and grade."""
        start = time.perf_counter()
        seeds = [_seed(f"{key} {offset + place}") for place in range(len(rows))]
        trajectories = self._drawn(rows, seeds, self.decoding)
        sampled = time.perf_counter()
        texts = [trajectory.text for trajectory in trajectories]
        scores = self.suite.score(texts, [self.examples[row] for row in rows])
        totals = scores.totals(self.suite.weights)
        by_row = [{name: values[row] for name, values in scores.values.items()} for row in range(len(rows))]
        known = [total for total in totals if total is not None]
        return Rollout(
            [
                replace(trajectory, rewards=rewards, reward=total)
                for trajectory, rewards, total in zip(trajectories, by_row, totals, strict=True)
            ],
            drawn=len(rows) // self.group_size,
            silent=len(silent_groups(totals, self.group_size)),
            graded=len(known),
            paid=sum(known),
            faults=list(scores.faults),
            sampling_seconds=sampled - start,
            grading_seconds=time.perf_counter() - sampled,
        )

    def _drawn(self, rows: Sequence[int], seeds: Sequence[int], decoding: Decoding) -> list[Trajectory]:
        """Trajectories of one step, not graded."""
        prompts = [self._prompts[row] for row in rows]
        completions = sample(self.engine, prompts, seeds, decoding)
        return [
            Trajectory(
                row,
                (*self.examples[row].messages, Message("assistant", self._renderer.decode_response(completion.ids))),
                (Step(prompt, completion.ids, completion.logprobs),),
                completion.finish,
            )
            for row, prompt, completion in zip(rows, prompts, completions, strict=True)
        ]


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

"""Groups of trajectories of the same prompt: sample and grade them, and replace groups with zero reward variance."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.rendering import Message, Renderer
from hrm_align.rewards.base import add_usage
from hrm_align.rewards.scoring import Fault
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.engine import Decoding, Engine
from hrm_align.rollouts.local import LocalEngine, sample
from hrm_align.rollouts.trajectories import Step, Trajectory

ALIKE = 1e-6  # a group whose rewards differ by less counts as one with zero reward variance


@dataclass
class Rollout:
    """Graded trajectories, with counts and times of all sampled groups.

    Args:
        trajectories: the trajectories; those of a group are next to each other.
        replaced: number of sampled groups that other groups have replaced because of their zero reward variance.
        graded, reward_sum: number of graded completions in all sampled groups, and the sum of their rewards. Their quotient
            is the model's mean reward; the mean over `trajectories` is biased, because groups are replaced by their
            rewards.
        faults: faults of rewards.
        usage: name of each judge -> what it used, by name: requests, tokens, cost.
        sampling_seconds, grading_seconds: time of sampling and of grading.
    """

    trajectories: list[Trajectory] = field(default_factory=list)
    replaced: int = 0
    graded: int = 0
    reward_sum: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    usage: dict[str, dict[str, float]] = field(default_factory=dict)
    sampling_seconds: float = 0.0
    grading_seconds: float = 0.0

    @property
    def rewards(self) -> list[float | None]:
        """Weighted sum of rewards of each trajectory; None if it could not be graded."""
        return [trajectory.reward for trajectory in self.trajectories]

    @property
    def steps(self) -> list[Step]:
        """Steps of the trajectories: one of each, where a conversation ends with its first answer."""
        return [step for trajectory in self.trajectories for step in trajectory.steps]

    def replace(self, places: Sequence[int], other: Rollout, groups: int) -> None:
        """Replace the trajectories of `groups` groups, at `places`, by another rollout, and add its counts and times."""
        for place, trajectory in zip(places, other.trajectories, strict=True):
            self.trajectories[place] = trajectory
        self.replaced += groups + other.replaced
        self.graded, self.reward_sum = self.graded + other.graded, self.reward_sum + other.reward_sum
        self.faults += other.faults
        self.usage = add_usage(self.usage, other.usage)
        self.sampling_seconds += other.sampling_seconds
        self.grading_seconds += other.grading_seconds


class GroupSampler:
    """Samples and grades groups of trajectories.

    Args:
        engine: sampling engine; the caller must `sync` it before each draw.
        examples: the prompts, with references and grading data.
        renderer: renderer of the model's tokenizer. Each prompt is rendered once.
        suite: the rewards; None for `draw_ungraded` alone.
        decoding: sampling settings.
        group_size: completions per prompt.
        max_resamples: how often the groups with zero reward variance of a draw are replaced by groups of other prompts
            (dynamic sampling of DAPO, Yu et al. 2025).
        seed: seed of all draws.

    Attributes:
        prompts: token ids of the prompts, in the order of `examples`.
    """

    def __init__(
        self,
        engine: Engine,
        examples: Sequence[Example],
        renderer: Renderer,
        suite: RewardSuite | None,
        decoding: Decoding,
        *,
        group_size: int,
        max_resamples: int = 0,
        seed: int = 0,
    ):
        self.engine, self.examples, self.suite, self.decoding = engine, examples, suite, decoding
        self.group_size, self.max_resamples, self._seed = group_size, max_resamples, seed
        self._renderer = renderer
        self.prompts = [renderer.prompt(example.messages, example.condition) for example in examples]

    @contextmanager
    def sampling_locally(self, model: Any) -> Iterator[None]:
        """Sample from a model of this process in a `with` block, whatever the engine."""
        engine = self.engine
        self.engine = engine if isinstance(engine, LocalEngine) else LocalEngine()
        try:
            self.engine.sync(model)
            yield
        finally:
            self.engine = engine

    def draw(
        self, rows: Sequence[int], *, number: int, offset: int = 0, all_rows: Sequence[int] | None = None
    ) -> Rollout:
        """Sample and grade completions of the prompts at `rows`.

        The trajectories of a row, and the prompts that replace a group, do not depend on how a draw is split into processes.

        Args:
            rows: indices of prompts, each repeated once per completion.
            number: number of this draw in the run; with the seed it determines the samples.
            offset: index of the first row in the draw of all processes together.
            all_rows: the rows of all processes; by default there are no others.

        Returns:
            One trajectory per row; the trajectories of replaced groups have other rows.
        """
        places = range(offset, offset + len(rows))
        rollout = self._graded(rows, f"{self._seed} {number} 0", places)
        everyone = rows if all_rows is None else all_rows
        for attempt in range(1, self.max_resamples + 1):
            flat_groups = zero_variance_groups(rollout.rewards, self.group_size)
            if not flat_groups:
                break
            key = f"{self._seed} {number}"
            inside = [group * self.group_size + i for group in flat_groups for i in range(self.group_size)]
            global_groups = [(offset // self.group_size) + group for group in flat_groups]
            others = self._choose_others(everyone, global_groups, attempt, key)
            drawn = self._graded(others, f"{key} {attempt}", [offset + place for place in inside])
            rollout.replace(inside, drawn, len(flat_groups))
        return rollout

    def draw_ungraded(
        self, rows: Sequence[int], *, number: int, max_new_tokens: int, places: Sequence[int] | None = None
    ) -> list[Trajectory]:
        """Sample completions without grading them, to compare models.

        Args:
            rows: indices of prompts, each repeated once per completion.
            number: number of this draw in the run.
            max_new_tokens: longest completion, in tokens; limited to that of a rollout.
            places: indices of the completions in the draw of all processes; by default there are no others.
        """
        own = range(len(rows)) if places is None else places
        seeds = [completion_seed(f"{self._seed} {number} ungraded {place}") for place in own]
        shorter = min(max_new_tokens, self.decoding.max_new_tokens)
        return self._drawn(rows, seeds, replace(self.decoding, max_new_tokens=shorter))

    def _choose_others(self, everyone: Sequence[int], groups: Sequence[int], attempt: int, key: str) -> list[int]:
        """Choose the prompts that replace groups at random, from those that no process has drawn if there are any.

        Args:
            everyone: rows of all processes.
            groups: numbers of the groups to replace, among the groups of all processes.
            attempt: number of the attempt, from 1; each attempt takes other prompts, as long as there are enough.
            key: key of the random order of the prompts, the same on all processes.

        Returns:
            Indices of prompts, each repeated once per completion.
        """
        used = set(everyone)
        free = [row for row in range(len(self.examples)) if row not in used] or list(range(len(self.examples)))
        random.Random(key).shuffle(free)
        before = (attempt - 1) * (len(everyone) // self.group_size)
        chosen = [free[(before + group) % len(free)] for group in groups]
        return [row for row in chosen for _ in range(self.group_size)]

    def _graded(self, rows: Sequence[int], key: str, places: Sequence[int]) -> Rollout:
        """Sample and grade one completion per row; `places` are the indices of the rows in the draw of all processes."""
        start = time.perf_counter()
        seeds = [completion_seed(f"{key} {place}") for place in places]
        trajectories = self._drawn(rows, seeds, self.decoding)
        sampled = time.perf_counter()
        texts = [trajectory.text for trajectory in trajectories]
        assert self.suite is not None
        scores = self.suite.score(texts, [self.examples[row] for row in rows])
        totals = scores.totals(self.suite.weights)
        graded = [total for total in totals if total is not None]
        for place, trajectory in enumerate(trajectories):
            rewards = {name: values[place] for name, values in scores.values.items()}
            trajectories[place] = replace(trajectory, rewards=rewards, reward=totals[place])
        return Rollout(
            trajectories,
            graded=len(graded),
            reward_sum=sum(graded),
            faults=list(scores.faults),
            usage=scores.usage,
            sampling_seconds=sampled - start,
            grading_seconds=time.perf_counter() - sampled,
        )

    def _drawn(self, rows: Sequence[int], seeds: Sequence[int], decoding: Decoding) -> list[Trajectory]:
        """Sample one trajectory of one step per row, without grading."""
        prompts = [self.prompts[row] for row in rows]
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


def zero_variance_groups(totals: Sequence[float | None], group_size: int) -> list[int]:
    """Return the numbers of groups with zero reward variance, or with fewer than two graded completions."""
    flat_groups = []
    for group in range(len(totals) // group_size):
        graded = [total for total in totals[group * group_size : (group + 1) * group_size] if total is not None]
        if not graded or max(graded) - min(graded) < ALIKE:
            flat_groups.append(group)
    return flat_groups


def pass_at_k(right: int, n: int, k: int) -> float:
    """Estimate pass@k, the probability that at least one of `k` samples is correct, without bias (Chen et al. 2021).

    Args:
        right: number of correct samples.
        n: number of samples.
        k: number of tries.
    """
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def completion_seed(key: str) -> int:
    """Hash the key of a completion, such as `seed row number`, to the seed of its random stream, a 63-bit integer."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") >> 1

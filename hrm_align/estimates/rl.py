"""Estimate of a run that samples, reinforcement learning or distillation: memory of rollouts and updates, and floating-point operations of both.

Assumes that every prompt and every answer has the maximal length, and that no group is replaced.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from transformers import HrmTextConfig

from hrm_align.estimates.measured import HALF
from hrm_align.estimates.model import Costs, Load, computes_in_half_precision, count, count_stack_weights, count_weights
from hrm_align.estimates.reward_models import NO_SCORING, Scoring, count_scoring
from hrm_align.models.adapters import base_name, is_adapter, open_adapter
from hrm_align.models.attention import BY_DOCUMENT
from hrm_align.models.loading import DTYPES, load_config
from hrm_align.models.recurrence import longest
from hrm_align.rewards.base import RewardSpec
from hrm_align.rollouts.kv_cache import MORE_TOKENS
from hrm_align.rollouts.local import MAX_RUNNING
from hrm_align.rollouts.parity import EXTRA_ANSWERS, EXTRA_PROMPTS, EXTRA_TOKENS
from hrm_align.trainers.distillation_config import DistillationRecipe
from hrm_align.trainers.grpo_config import GRPORecipe

SAMPLED = (
    28  # bytes per logit while sampling: logit and log-probability in float32, probability and two sums in float64
)


@dataclass(frozen=True)
class Rollout:
    """The answers that a device samples in one rollout.

    Args:
        prompt, answer: tokens of a prompt, and of an answer.
        answers: number of answers.
        group: answers per prompt.
        shares_prompts: whether the KV cache holds each prompt once for all its answers.
        cached: bytes of keys and values per token.
        drawn: bytes of a row of logits while a token is sampled.
        weights: bytes of weights read for each decoding step, once for all answers that are decoded together.
    """

    prompt: int
    answer: int
    answers: int
    group: int
    shares_prompts: bool
    cached: int
    drawn: int
    weights: int

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return ceil(self.answers / self.group)

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by name of the part."""
        together = min(self.answers, MAX_RUNNING)
        block = MORE_TOKENS + 1  # the KV cache grows in blocks of so many tokens
        tokens = self._cached_prompts(together) * self.prompt + together * ceil(self.answer / block) * block
        return {"keys and values": tokens * self.cached, "logits of a draw": together * self.drawn}

    @property
    def tokens(self) -> int:
        """Tokens computed: each prompt once, and all answers."""
        return self.prompts * self.prompt + self.answers * self.answer

    @property
    def bytes_read(self) -> int:
        """Bytes read to decode all answers: for each token the weights, the prompts, and on average half of the answers."""
        batches = ceil(self.answers / MAX_RUNNING)
        cached = self._cached_prompts(self.answers) * self.prompt + self.answers * self.answer // 2
        return self.answer * (batches * self.weights + cached * self.cached)

    def _cached_prompts(self, answers: int) -> int:
        """Return how many prompts the KV cache holds for so many answers."""
        return ceil(answers / self.group) if self.shares_prompts else answers


@dataclass(frozen=True)
class GRPOEstimate:
    """Bytes on each device, and floating-point operations of an optimizer step on it.

    Args:
        costs: costs of the run and of a token.
        reference: bytes of a separate reference model for `beta`; 0 without one.
        rollout: the rollout of a device.
        rollouts: rollouts per optimizer step.
        rows: answers per forward of the update.
        forwards: forwards per optimizer step.
        shares_prompts: whether the update computes a prompt once for all its answers.
        scored: additional forwards per answer without backward: for the reference, and for the old log-probabilities.
        gate: bytes by name of the part, for the parity gate in float32 of a run in half precision.
        scoring: bytes of reward models.
    """

    costs: Costs
    reference: int
    rollout: Rollout
    rollouts: float
    rows: int
    forwards: int
    shares_prompts: bool
    scored: int
    gate: dict[str, int]
    scoring: Scoring = NO_SCORING

    @property
    def fixed(self) -> dict[str, int]:
        """Bytes by name of the part that are held throughout."""
        return {**self.costs.fixed, "reference": self.reference, "reward models": self.scoring.weights}

    @property
    def update(self) -> dict[str, int]:
        """Bytes by name of the part, of a forward and its backward."""
        return self._largest[1]

    @property
    def moment(self) -> str:
        """Description of the moment when an update peaks."""
        return self._largest[0]

    @property
    def _largest(self) -> tuple[str, dict[str, int]]:
        return self.costs.largest(self._load(self.rows))

    @property
    def total(self) -> int:
        """Bytes at the peak: the fixed parts, and the largest of rollout, scoring, parity gate and update, which alternate."""
        parts = map(_sum, (self.rollout.parts, self.gate, self.update))
        return _sum(self.fixed) + max(self.scoring.batch, *parts)

    @property
    def flops(self) -> float:
        """Floating-point operations of an optimizer step and its rollouts."""
        return self.update_flops + self.rollout_flops

    @property
    def update_flops(self) -> float:
        """Floating-point operations of an optimizer step, without its rollouts."""
        trained = (self.costs.forward + self.costs.backward) * self._tokens(self.rows) * self.forwards
        return trained + self.rollouts * self.scored * self.costs.forward * self._tokens(self.rollout.answers)

    @property
    def rollout_flops(self) -> float:
        """Floating-point operations of an optimizer step's rollouts."""
        return self.rollouts * self.costs.forward * self.rollout.tokens

    @property
    def bytes_read(self) -> float:
        """Bytes read to decode the answers of an optimizer step; the bottleneck if few answers are decoded together."""
        return self.rollouts * self.rollout.bytes_read

    @property
    def figures(self) -> dict[str, Any]:
        """All figures, for JSON output."""
        return {
            "bytes": {
                "held": self.fixed,
                "rollout": self.rollout.parts,
                "scoring": {"reward models": self.scoring.batch},
                "gate": self.gate,
                "update": self.update,
            },
            "total": self.total,
            "trained": self.costs.trained,
            "answers": self.rollout.answers,
            "cached_bytes_per_token": self.rollout.cached,
            "when": self.moment,
            "activation_bytes_per_token": self.update["activations"] / self._tokens(self.rows),
            "flops_per_step": self.flops,
            "rollout_flops_per_step": self.rollout_flops,
            "bytes_read_per_step": self.bytes_read,
        }

    def largest_batch(self, memory: int) -> int:
        """Return the number of rows per forward that fit into `memory` bytes, for the same rollout; 0 if none fits."""
        rows = range(1, self.rollout.answers + 1)
        return bisect_right(rows, memory, key=lambda rows: replace(self, rows=rows).total)

    def _tokens(self, answers: int) -> int:
        return self._load(answers).tokens

    def _load(self, answers: int) -> Load:
        """Return the load of a forward over so many answers; the answers of a rollout are shuffled before it is split."""
        prompt, answer = self.rollout.prompt, self.rollout.answer
        if self.shares_prompts:
            return Load.of_groups(min(answers, self.rollout.prompts), prompt, answer, answers, self.costs.is_cut)
        return Load.of_rows(answers * (prompt + answer), answers, answers * answer)


def estimate_grpo(
    recipe: GRPORecipe, config: HrmTextConfig, processes: int = 1, prompt: int = 256, on_gpu: bool = False
) -> GRPOEstimate:
    """Estimate what a recipe needs on each device. See `count` for errors.

    Args:
        recipe: the parsed recipe.
        config: config of its model.
        processes: number of processes that train together.
        prompt: tokens of the longest prompt.
        on_gpu: whether to count device memory.
    """
    args, costs = recipe.training, count(recipe, config, processes, on_gpu)
    group, per_generation = int(args.num_generations or 1), int(args.steps_per_generation or 1)
    rollout = _rollout(recipe, config, prompt, args.per_device_train_batch_size * per_generation, group)
    has_reference = bool(args.beta) and not recipe.lora.use_peft
    every = per_generation * args.num_iterations
    is_older = args.gradient_accumulation_steps % every != 0  # then TRL also scores the answers before the update
    return GRPOEstimate(
        costs,
        costs.fixed["weights"] if has_reference else 0,
        rollout,
        args.gradient_accumulation_steps / every,
        args.per_device_train_batch_size,
        args.gradient_accumulation_steps,
        bool(args.share_prompts),
        bool(args.beta) + is_older,
        _gate(recipe, config, prompt, costs.fixed["weights"] * (1 + has_reference)),
        count_scoring(
            [*map(RewardSpec.of, recipe.rewards.rewards)], rollout.answers, rollout.prompt + rollout.answer, on_gpu
        ),
    )


def estimate_distill(
    recipe: DistillationRecipe, config: HrmTextConfig, processes: int = 1, prompt: int = 256, on_gpu: bool = False
) -> GRPOEstimate:
    """Estimate what a recipe needs on each device: rollouts of one completion a prompt, and a teacher that reads them once.

    The teacher's own prompt counts like the student's. See `estimate_grpo` for the arguments.
    """
    args, costs = recipe.training, count(recipe, config, processes, on_gpu)
    rows, parts = args.per_device_train_batch_size, args.gradient_accumulation_steps
    weights = costs.fixed["weights"]
    teacher = 0 if recipe.lora.use_peft or args.teacher_base_url else weights
    if not args.teaches_itself and not args.teacher_base_url:
        size = DTYPES[args.teacher_dtype].itemsize
        teacher = size * count_weights(load_config(_base_of(str(args.teacher_model_name_or_path))))
    rollout = _rollout(recipe, config, prompt, rows * parts, group=1)
    gate = _gate(recipe, config, prompt, weights)
    return GRPOEstimate(costs, teacher, rollout, 1, rows, parts, shares_prompts=False, scored=1, gate=gate)


def _base_of(name: str) -> str:
    return base_name(open_adapter(name)) if is_adapter(name) else name


def _rollout(
    recipe: GRPORecipe | DistillationRecipe, config: HrmTextConfig, prompt: int, answers: int, group: int
) -> Rollout:
    args, size = recipe.training, DTYPES[recipe.model.dtype].itemsize
    return Rollout(
        prompt,
        int(args.max_completion_length or 1),
        answers,
        group,
        recipe.model.attn_implementation in BY_DOCUMENT or args.cuda_graphs,
        cached=_states(config) * (HALF if computes_in_half_precision(args) else size),
        drawn=SAMPLED * config.vocab_size,
        weights=(longest(config) * count_stack_weights(config) + config.hidden_size * config.vocab_size) * size,
    )


def _states(config: HrmTextConfig) -> int:
    """Return the numbers that the KV cache holds per token."""
    layers = int(config.num_layers_per_stack or 0)
    return 2 * config.num_attention_heads * config.head_dim * layers * longest(config)


def _gate(recipe: GRPORecipe | DistillationRecipe, config: HrmTextConfig, prompt: int, weights: int) -> dict[str, int]:
    """Return the bytes by name of the part of the parity gate in float32; `weights` are those of all models that it compares."""
    args, size = recipe.training, DTYPES[recipe.model.dtype].itemsize
    if not (args.parity_every and (size == HALF or computes_in_half_precision(args))):
        return {}
    tokens = EXTRA_PROMPTS * (prompt + EXTRA_ANSWERS * min(int(args.max_completion_length or 1), EXTRA_TOKENS))
    # Meanwhile half-precision weights are held in float32 too.
    return {"float32 weights": weights * 2 if size == HALF else 0, "keys and values": 4 * _states(config) * tokens}


def _sum(parts: Mapping[str, int]) -> int:
    return sum(parts.values())

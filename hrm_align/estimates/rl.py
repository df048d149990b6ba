"""What a run of reinforcement learning will take: the memory of rollouts and of updates, and the work of both.

Every prompt and every answer is taken to be as long as it may be, and no group to be drawn again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from transformers import HrmTextConfig

from hrm_align.estimates.measured import HALF
from hrm_align.estimates.model import Costs, computes_in_half_precision, count, weights_of_a_stack
from hrm_align.models.attention import BY_DOCUMENT
from hrm_align.models.loading import DTYPES
from hrm_align.models.recurrence import longest
from hrm_align.rollouts.kv_cache import MORE_TOKENS
from hrm_align.rollouts.local import SIDE_BY_SIDE
from hrm_align.rollouts.parity import EXTRA_ANSWERS, EXTRA_PROMPTS, EXTRA_TOKENS
from hrm_align.trainers.grpo_config import GRPORecipe

SAMPLED = 28  # bytes for each logit of a draw: it and its logarithm in float32, probability and two sums in float64


@dataclass(frozen=True)
class Rollout:
    """The answers that a device draws at a time.

    Args:
        prompt, answer: their tokens.
        answers: how many.
        group: of them to a prompt.
        shares_prompts: whether a prompt's keys and values stand once for its answers.
        cached: bytes of keys and values for each token.
        drawn: bytes of a row of logits while a token is drawn from it.
        weights: bytes that are read to write a token, once for all answers that are written side by side.
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
        """How many there are."""
        return ceil(self.answers / self.group)

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by name."""
        written = min(self.answers, SIDE_BY_SIDE)
        room = MORE_TOKENS + 1  # that answers grow by
        tokens = self._prompts_of(written) * self.prompt + written * ceil(self.answer / room) * room
        return {"keys and values": tokens * self.cached, "logits of a draw": written * self.drawn}

    @property
    def tokens(self) -> int:
        """That are computed: each prompt once."""
        return self.prompts * self.prompt + self.answers * self.answer

    @property
    def bytes_read(self) -> int:
        """To write all answers: weights, prompts and half of the answers on average, for each token anew."""
        batches = ceil(self.answers / SIDE_BY_SIDE)
        cached = self._prompts_of(self.answers) * self.prompt + self.answers * self.answer // 2
        return self.answer * (batches * self.weights + cached * self.cached)

    def _prompts_of(self, answers: int) -> int:
        """That stand in the cache for so many answers."""
        return ceil(answers / self.group) if self.shares_prompts else answers


@dataclass(frozen=True)
class GRPOEstimate:
    """Bytes on each device, and operations of an optimizer step on it.

    Args:
        costs: of the run, and of a token.
        reference: bytes of the model that `beta` compares with; 0 where there is none of its own.
        rollout: as it is drawn.
        rollouts: of an optimizer step.
        rows: answers of a forward of the update.
        forwards: of an optimizer step.
        shares_prompts: whether the update computes a prompt once for its answers.
        scored: how often an answer is computed besides, without a backward: for the reference, and for the model before the
            update.
        gate: bytes by name, of the parity gate where it computes in float32 beside half precision.
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

    @property
    def fixed(self) -> dict[str, int]:
        """Bytes by name, of what is held throughout."""
        return {**self.costs.fixed, "reference": self.reference}

    @property
    def update(self) -> dict[str, int]:
        """Bytes by name, of a forward and its backward."""
        return self._largest[1]

    @property
    def moment(self) -> str:
        """Of an update, when most is held."""
        return self._largest[0]

    @property
    def _largest(self) -> tuple[str, dict[str, int]]:
        rows = min(self.rows, self.rollout.prompts) if self.shares_prompts else self.rows
        return self.costs.largest(self._tokens(self.rows), rows, self.rows * self.rollout.answer)

    @property
    def total(self) -> int:
        """Bytes: what is held, and the largest of rollout, gate and update, which take turns."""
        return _sum(self.fixed) + max(map(_sum, (self.rollout.parts, self.gate, self.update)))

    @property
    def flops(self) -> float:
        """Floating-point operations of an optimizer step and its rollouts."""
        return self.update_flops + self.rollout_flops

    @property
    def update_flops(self) -> float:
        """Floating-point operations of an optimizer step, its rollouts left out."""
        learnt = (self.costs.forward + self.costs.backward) * self._tokens(self.rows) * self.forwards
        return learnt + self.rollouts * self.scored * self.costs.forward * self._tokens(self.rollout.answers)

    @property
    def rollout_flops(self) -> float:
        """Floating-point operations of an optimizer step's rollouts."""
        return self.rollouts * self.costs.forward * self.rollout.tokens

    @property
    def bytes_read(self) -> float:
        """To write the answers of an optimizer step: what bounds it where few answers are written side by side."""
        return self.rollouts * self.rollout.bytes_read

    @property
    def figures(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "bytes": {"held": self.fixed, "rollout": self.rollout.parts, "gate": self.gate, "update": self.update},
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
        """Rows of a forward that fit into so many bytes, of the same rollout; 0 if not even one does."""
        rows = range(1, self.rollout.answers + 1)
        return bisect_right(rows, memory, key=lambda rows: replace(self, rows=rows).total)

    def _tokens(self, answers: int) -> int:
        """That so many answers are when they are scored; those of a rollout are shuffled before they are split."""
        prompts = min(answers, self.rollout.prompts) if self.shares_prompts else answers
        return prompts * self.rollout.prompt + answers * self.rollout.answer


def estimate_grpo(
    recipe: GRPORecipe, config: HrmTextConfig, processes: int = 1, prompt: int = 256, on_gpu: bool = False
) -> GRPOEstimate:
    """What a recipe takes on each device. See `count` for errors.

    Args:
        recipe: as parsed.
        config: of its model.
        processes: that train together.
        prompt: tokens of the longest prompt.
        on_gpu: whether device memory is counted.
    """
    args, costs = recipe.training, count(recipe, config, processes, on_gpu)
    size = DTYPES[recipe.model.dtype].itemsize
    group, per_generation = int(args.num_generations or 1), int(args.steps_per_generation or 1)
    answer, answers = int(args.max_completion_length or 1), args.per_device_train_batch_size * per_generation
    passes, layers = longest(config), int(config.num_layers_per_stack or 0)
    states = 2 * config.num_attention_heads * config.head_dim * layers * passes
    rollout = Rollout(
        prompt,
        answer,
        answers,
        group,
        recipe.model.attn_implementation in BY_DOCUMENT or args.cuda_graphs,
        cached=states * (HALF if computes_in_half_precision(args) else size),
        drawn=SAMPLED * config.vocab_size,
        weights=(passes * weights_of_a_stack(config) + config.hidden_size * config.vocab_size) * size,
    )
    has_reference = bool(args.beta) and not recipe.lora.use_peft
    gate: dict[str, int] = {}
    if args.parity_every and (size == HALF or computes_in_half_precision(args)):
        # Weights in half precision are held in float32 too meanwhile, those of a reference as well.
        copies = costs.fixed["weights"] * (1 + has_reference) * 2 if size == HALF else 0
        tokens = EXTRA_PROMPTS * (prompt + EXTRA_ANSWERS * min(answer, EXTRA_TOKENS))
        gate = {"float32 weights": copies, "keys and values": 4 * states * tokens}
    every = per_generation * args.num_iterations
    is_older = args.gradient_accumulation_steps % every != 0  # TRL scores the answers before the update then
    return GRPOEstimate(
        costs,
        costs.fixed["weights"] if has_reference else 0,
        rollout,
        args.gradient_accumulation_steps / every,
        args.per_device_train_batch_size,
        args.gradient_accumulation_steps,
        bool(args.share_prompts),
        bool(args.beta) + is_older,
        gate,
    )


def _sum(parts: Mapping[str, int]) -> int:
    return sum(parts.values())

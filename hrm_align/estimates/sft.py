"""Estimate of a fine-tuning run: memory by part, the rows that fit, and floating-point operations."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from transformers import HrmTextConfig

from hrm_align.estimates.model import Costs, Load, count
from hrm_align.trainers.sft_config import SFTRecipe

SCORED = 0.75  # share of response tokens in a row: two thirds on average in fine-tuning data, and a margin


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device, and floating-point operations of an optimizer step on it.

    Args:
        costs: costs of the run and of a token.
        rows: rows per forward.
        forwards: forwards per optimizer step.
        length: tokens of a row, padding included.
        scored: share of tokens for which the head computes logits.
    """

    costs: Costs
    rows: int
    forwards: int
    length: int
    scored: float = 1.0

    @property
    def tokens(self) -> int:
        """Tokens per forward."""
        return self.rows * self.length

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by name of the part, at the moment of the peak."""
        return {**self.costs.fixed, **self._largest[1]}

    @property
    def moment(self) -> str:
        """Description of the moment when memory peaks."""
        return self._largest[0]

    @property
    def _largest(self) -> tuple[str, dict[str, int]]:
        return self.costs.largest(self.load)

    @property
    def load(self) -> Load:
        """The tokens of a forward."""
        return Load.of_rows(self.tokens, self.rows, ceil(self.scored * self.tokens))

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return sum(self.parts.values())

    @property
    def flops(self) -> float:
        """Floating-point operations of an optimizer step."""
        return (self.costs.forward + self.costs.backward) * self.tokens * self.forwards

    @property
    def figures(self) -> dict[str, Any]:
        """All figures, for JSON output."""
        return {
            "bytes": self.parts,
            "total": self.total,
            "trained": self.costs.trained,
            "tokens": self.tokens,
            "when": self.moment,
            "activation_bytes_per_token": self.costs.activations(self.load) / self.tokens,
            "flops_per_step": self.flops,
        }

    def largest_batch(self, memory: int) -> int:
        """Return the number of rows per forward that fit into `memory` bytes; 0 if not even one fits."""
        too_many = int(memory // (self.costs.activation * self.length)) + 1
        return bisect_right(range(1, too_many + 1), memory, key=lambda rows: replace(self, rows=rows).total)


def estimate_sft(recipe: SFTRecipe, config: HrmTextConfig, processes: int = 1, on_gpu: bool = False) -> Estimate:
    """Estimate what a recipe needs on each device. See `count` for arguments and errors."""
    args = recipe.training
    costs = count(recipe, config, processes, on_gpu)
    return Estimate(
        costs,
        args.per_device_train_batch_size,
        args.gradient_accumulation_steps,
        int(args.max_length or 0),
        SCORED if args.score_responses_only or on_gpu else 1.0,  # with Triton (on a GPU) TRL scores only responses
    )

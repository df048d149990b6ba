"""What a fine-tuning run will take: memory by part, the rows that fit, and floating-point operations."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any

from transformers import HrmTextConfig

from hrm_align.configs import SFTRecipe
from hrm_align.estimates.costs import Costs, count


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device, and operations of a step on it.

    Args:
        costs: of the run, and of a token.
        rows: of a forward.
        forwards: of an optimizer step.
        length: tokens of a row, padding included.
    """

    costs: Costs
    rows: int
    forwards: int
    length: int

    @property
    def tokens(self) -> int:
        """Of a forward."""
        return self.rows * self.length

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by name."""
        grows = {"activations": self.costs.activations(self.tokens, self.rows), "head": self.costs.head(self.tokens)}
        return {**self.costs.fixed, **grows}

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self.parts.values())

    @property
    def flops(self) -> float:
        """Floating-point operations of an optimizer step."""
        return (self.costs.forward + self.costs.backward) * self.tokens * self.forwards

    @property
    def figures(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "bytes": self.parts,
            "total": self.total,
            "trained": self.costs.trained,
            "tokens": self.tokens,
            "activation_bytes_per_token": self.parts["activations"] / self.tokens,
            "flops_per_step": self.flops,
        }

    def largest_batch(self, memory: int) -> int:
        """Rows of a forward that fit into so many bytes; 0 if not even one does."""
        too_many = int(memory // (self.costs.activation * self.length)) + 1
        return bisect_right(range(1, too_many + 1), memory, key=lambda rows: replace(self, rows=rows).total)


def estimate_sft(recipe: SFTRecipe, config: HrmTextConfig, processes: int = 1) -> Estimate:
    """What a recipe takes on each device. See `count` for arguments and errors."""
    args = recipe.training
    costs = count(recipe, config, processes)
    return Estimate(
        costs, args.per_device_train_batch_size, args.gradient_accumulation_steps, int(args.max_length or 0)
    )

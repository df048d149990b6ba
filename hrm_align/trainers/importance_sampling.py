"""Importance sampling between sampler and trainer: truncated weights for the tokens of a rollout.

A rollout is sampled from the sampler's distribution, and the policy gradient is computed under the trainer's. In float32 the two
are equal. In bfloat16, prefill with decoding rounds differently from one forward over prompt and completion, and over 128 block
passes the difference reaches tenths of a nat per token (docs/results/half-precision.md). Each token's policy term is therefore multiplied by

    min(trainer's probability of the token / sampler's, clip_max)

as in Yao et al. 2025 ("Your efficient RL framework secretly brings you off-policy RL training"), with the metric names and the
arithmetic of TRL, which applies the correction to vLLM only. The trainer's probability is that of the policy that sampled the
rollout, without gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
METRICS = "sampling/"  # prefix of TRL's metric names


@dataclass(frozen=True)
class ImportanceSampling:
    """Mode and bounds of the importance weights.

    Args:
        mode: `token_*` for one weight per token, `sequence_*` for the product over a completion; `*_truncate` moves a weight
            beyond a bound to the bound, `*_mask` sets the weight to 0.
        clip_min, clip_max: the bounds; None for no bound.
    """

    mode: str
    clip_min: float | None
    clip_max: float | None

    @property
    def is_per_sequence(self) -> bool:
        """Whether all tokens of a completion share one weight."""
        return self.mode.startswith("sequence")

    def weights(self, trained: Tensor, sampled: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the importance weights and statistics about them.

        Args:
            trained: log-probabilities (batch, completion) under the policy that sampled the rollout, in nats.
            sampled: log-probabilities (batch, completion) of the sampler, in nats.
            mask: (batch, completion), 1 for completion tokens, 0 for padding.

        Returns:
            Weights (batch, completion), or (batch, 1) for a sequence mode, without gradient; 1 at padding.
            A row (8,) of statistics for `summary`.
        """
        counts = mask.bool()
        log_ratio = (trained.detach().float() - sampled).masked_fill(~counts, 0.0)
        difference, counted = log_ratio.abs(), counts
        if self.is_per_sequence:
            log_ratio, counted = log_ratio.sum(dim=1, keepdim=True), counts.any(dim=1, keepdim=True)
        ratio = log_ratio.exp()
        low, high = self.clip_min or 0.0, float("inf") if self.clip_max is None else self.clip_max
        beyond = (ratio < low) | (ratio > high)
        weights = ratio.masked_fill(beyond, 0.0) if self.mode.endswith("mask") else ratio.clamp(low, high)
        return weights, _statistics(difference[counts], weights[counted], beyond[counted])


def _statistics(difference: Tensor, ratio: Tensor, beyond: Tensor) -> Tensor:
    """Return (8,) float64: sum, max and count of differences; min, sum, max and count of ratios; count beyond a bound."""
    difference, ratio = difference.double(), ratio.double()
    bounds = (ratio.min(), ratio.max()) if len(ratio) else (ratio.new_tensor(float("inf")), ratio.new_zeros(()))
    largest = difference.max() if len(difference) else difference.new_zeros(())
    parts = (difference.sum(), largest, difference.new_tensor(len(difference)), bounds[0], ratio.sum(), bounds[1])
    return torch.stack([*parts, ratio.new_tensor(len(ratio)), beyond.double().sum()])


def summary(statistics: Tensor) -> dict[str, float]:
    """Return TRL's metrics by name, and the share of weights beyond a bound, from statistics (rows, 8).

    Each row comes from one forward of one process in an optimizer step. Without any token the result is empty.
    """
    total, _, tokens, _, ratios, _, counted, beyond = statistics.sum(dim=0).tolist()
    if not tokens:
        return {}
    return {
        f"{METRICS}sampling_logp_difference/mean": total / tokens,
        f"{METRICS}sampling_logp_difference/max": float(statistics[:, 1].max()),
        f"{METRICS}importance_sampling_ratio/min": float(statistics[:, 3].min()),
        f"{METRICS}importance_sampling_ratio/mean": ratios / counted,
        f"{METRICS}importance_sampling_ratio/max": float(statistics[:, 5].max()),
        f"{METRICS}importance_sampling_ratio/clipped": beyond / counted,
    }

"""Importance sampling between sampler and trainer: truncated weights for the tokens of a rollout.

A rollout is drawn from the sampler's distribution, and the policy gradient is taken under the trainer's. In float32 the two
are one. In bfloat16 a prompt read alone and the same prompt with its answer round differently, and 128 block passes make
of it up to tenths of a nat a token (scripts/README.md). Each token's policy term is therefore multiplied by

    min(trainer's probability of the token / sampler's, clip_max)

as in Yao et al. 2025 ("Your efficient RL framework secretly brings you off-policy RL training"), under the names and with
the arithmetic of TRL, which applies it to vLLM alone. The trainer's probability is that of the policy which drew the
rollout, and carries no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
METRICS = "sampling/"  # before TRL's names


@dataclass(frozen=True)
class ImportanceSampling:
    """How the weights are computed.

    Args:
        mode: `token_*` for a weight a token, `sequence_*` for the product over a completion; `*_truncate` moves a weight
            to the nearest bound, `*_mask` sets one beyond a bound to 0.
        clip_min, clip_max: the bounds; None for none.
    """

    mode: str
    clip_min: float | None
    clip_max: float | None

    @property
    def is_of_sequences(self) -> bool:
        """Whether a completion has one weight."""
        return self.mode.startswith("sequence")

    def weights(self, trained: Tensor, sampled: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The weights and what is logged of them.

        Args:
            trained: log-probabilities (batch, completion) under the policy that drew the rollout, nats.
            sampled: the sampler's.
            mask: (batch, completion), 1 for a token that counts.

        Returns:
            Weights (batch, completion), or (batch, 1) for a sequence mode, without a gradient; 1 where nothing counts.
            And a row of statistics for `summary`.
        """
        counts = mask.bool()
        log_ratio = (trained.detach().float() - sampled).masked_fill(~counts, 0.0)
        difference, counted = log_ratio.abs(), counts
        if self.is_of_sequences:
            log_ratio, counted = log_ratio.sum(dim=1, keepdim=True), counts.any(dim=1, keepdim=True)
        ratio = log_ratio.exp()
        low, high = self.clip_min or 0.0, float("inf") if self.clip_max is None else self.clip_max
        beyond = (ratio < low) | (ratio > high)
        kept = ratio.masked_fill(beyond, 0.0) if self.mode.endswith("mask") else ratio.clamp(low, high)
        return kept, _statistics(difference[counts], kept[counted], beyond[counted])


def _statistics(difference: Tensor, ratio: Tensor, beyond: Tensor) -> Tensor:
    """(8,) float64: sum, largest and number of differences; smallest, sum, largest and number of ratios; those beyond."""
    difference, ratio = difference.double(), ratio.double()
    bounds = (ratio.min(), ratio.max()) if len(ratio) else (ratio.new_tensor(float("inf")), ratio.new_zeros(()))
    largest = difference.max() if len(difference) else difference.new_zeros(())
    parts = (difference.sum(), largest, difference.new_tensor(len(difference)), bounds[0], ratio.sum(), bounds[1])
    return torch.stack([*parts, ratio.new_tensor(len(ratio)), beyond.double().sum()])


def summary(statistics: Tensor) -> dict[str, float]:
    """TRL's metrics by name, and the share of weights beyond a bound, from rows (any number, 8) of statistics.

    The rows are those of the forwards and processes of one optimizer step; without a single token there is nothing to log.
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

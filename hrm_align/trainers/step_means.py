"""Metrics of whole optimizer steps: the same however a step's rows are split into micro-batches and processes.

TRL computes a mean for each micro-batch and logs the mean of these means, in which a micro-batch of 10 tokens weighs as much as one
of 1,000. Here each micro-batch adds a sum and a weight. Once per log, the sums of all processes are added up and divided, which
gives one value for each step; a log record over several steps holds the mean of these values, like TRL's `loss`.

    means = StepMeans()
    means.begin_step()
    means.add("entropy", total=entropy.sum(), weight=label_mask.sum())   # in every micro-batch, on every process
    means.drain()                                                        # {"entropy": [1.31]}, on every process
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor
from transformers import Trainer

_Base: Any = Trainer if TYPE_CHECKING else object


def sum_over_processes(values: Tensor) -> Tensor:
    """Add up the tensors (n,) of all processes, in float64 on the CPU. Collective: every process must call it."""
    total = values.detach().cpu().double()
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        shared = total.to(PartialState().device)
        dist.all_reduce(shared)
        total = shared.cpu()
    return total


def wide(value: Tensor) -> Tensor:
    """Return a tensor in float64, or in float32 on a device that has no float64."""
    return value.detach().to(torch.float32 if value.device.type == "mps" else torch.float64)


class StepMeans:
    """Sums and weights of metrics by step, from which `drain` computes one value for each step.

    Every process must add the same names in the same steps, with the values of its own rows.
    """

    def __init__(self) -> None:
        self._sums: list[dict[str, Tensor]] = []  # for each step: name -> (2,), the total and the weight
        self._extremes: list[dict[str, float]] = []  # for each step: name -> value

    def begin_step(self) -> None:
        """Begin a step; everything added until the next call belongs to this step."""
        self._sums.append({})
        self._extremes.append({})

    def add(self, name: str, total: Tensor, weight: Tensor) -> None:
        """Add the rows of one micro-batch to the mean `name`.

        Args:
            name: name of the metric.
            total: sum of the metric over the tokens (or rows) of this process, ().
            weight: number of these tokens (or rows), ().
        """
        sums = self._current(self._sums)
        pair = torch.stack([wide(total), wide(weight)])
        sums[name] = sums[name] + pair if name in sums else pair

    def add_extreme(self, name: str, value: float, choose: Callable[[float, float], float]) -> None:
        """Add a micro-batch to a minimum or maximum over the step; NaN counts as no value.

        Args:
            name: name of the metric.
            value: the extreme of the micro-batch over all processes.
            choose: `min` or `max`.
        """
        extremes = self._current(self._extremes)
        before = extremes.get(name, math.nan)
        extremes[name] = value if math.isnan(before) else before if math.isnan(value) else choose(before, value)

    def drain(self) -> dict[str, list[float]]:
        """Return the values by name, one for each step that added the name, and forget all steps. Collective.

        The mean of a step without any token is 0, as in TRL.
        """
        values: dict[str, list[float]] = {}
        pairs = [(name, sums[name]) for sums in self._sums for name in sorted(sums)]
        if pairs:
            totals, weights = sum_over_processes(torch.cat([pair for _, pair in pairs])).view(-1, 2).unbind(dim=1)
            for (name, _), total, weight in zip(pairs, totals.tolist(), weights.tolist(), strict=True):
                values.setdefault(name, []).append(total / weight if weight else 0.0)
        for extremes in self._extremes:
            for name, value in extremes.items():
                values.setdefault(name, []).append(value)
        self._sums, self._extremes = [], []
        return values

    def _current(self, steps: list[dict[str, Any]]) -> dict[str, Any]:
        if not self._sums:
            self.begin_step()
        return steps[-1]


class WholeStepMetrics(_Base):
    """Mixin for a TRL trainer: metrics added to `means` appear in the next log record under their names.

    Attributes:
        means: by mode, `train` or `eval`; an evaluation counts as one step.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self.means = {"train": StepMeans(), "eval": StepMeans()}
        super().__init__(*args, **kwargs)

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log a record with TRL's metrics and the means of the steps since the last record. Every process must call it."""
        self._metrics[self._mode].update(self.means[self._mode].drain())
        super().log(logs, *args, **kwargs)

    @contextmanager
    def _intercept_metrics(self) -> Iterator[dict[str, list[float]]]:
        """Yield the values that TRL appends to its metrics in a `with` block; they do not reach the log record."""
        saved = self._metrics[self._mode]
        self._metrics[self._mode] = appended = type(saved)(list)
        try:
            yield appended
        finally:
            self._metrics[self._mode] = saved


# How TRL's GRPO metrics of micro-batches combine into those of a step. The other metrics belong to a whole rollout.
_OVER_TOKENS = ("entropy", "kl")
_OVER_RATIOS = ("clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "cispo_clip_ratio")
_OVER_ROWS = ("vespo/phi_seq_mean",)
_EXTREMES: dict[str, Callable[[float, float], float]] = {"clip_ratio/low_min": min, "clip_ratio/high_max": max}
_SUMMED_LOSSES = ("cispo", "dapo", "vespo")  # loss types whose micro-batches add up to the loss of the step


class WholeStepPolicyMetrics(_Base):
    """Mixin just above TRL's GRPOTrainer: weighs the metrics of its micro-batches by their tokens or rows."""

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        with self._intercept_metrics() as appended:
            loss: Tensor = super()._compute_loss(model, inputs)
        means, weights = self.means[self._mode], self._weights(inputs)
        for name, (value, *_) in appended.items():
            if name in _EXTREMES:
                means.add_extreme(name, value, _EXTREMES[name])
            elif name in weights:  # TRL's value is the mean over the micro-batches of all processes
                means.add(name, value * weights[name], weights[name])
            else:
                is_summed = name == "policy_loss" and self.loss_type in _SUMMED_LOSSES and self.model.training
                parts = self.current_gradient_accumulation_steps if is_summed else 1
                self._metrics[self._mode][name].append(value * parts)
        return loss

    def _weights(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Return the weight of this process's micro-batch by name of the metric, as TRL counts in `global_masked_mean`."""
        mask, advantages = (
            inputs["completion_mask"],
            inputs["advantages"],
        )  # (batch, completion); (batch,) or (batch, ...)
        rows = wide(mask.new_tensor(len(mask)))
        tokens = rows if mask.shape[1] == 1 else wide(mask.sum())
        is_per_row = self.importance_sampling_level == "sequence" and advantages.numel() == len(mask)
        return {
            **dict.fromkeys(_OVER_TOKENS, tokens),
            **dict.fromkeys(_OVER_RATIOS, rows if is_per_row else tokens),
            **dict.fromkeys(_OVER_ROWS, rows),
        }

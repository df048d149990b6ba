"""Adam-atan2 with decoupled weight decay, the optimizer that HRM-Text was trained with; and learning rates per module group.

The official rule, whose update needs no epsilon and never passes lr * pi / 2 / (1 - beta1 ** t) an entry:

    p <- p * (1 - lr * weight_decay)
    m <- beta1 * m + (1 - beta1) * g;  v <- beta2 * v + (1 - beta2) * g ** 2
    p <- p - lr / (1 - beta1 ** t) * atan2(m, sqrt(v) / sqrt(1 - beta2 ** t))

(Everett et al. 2024, "Scaling Exponents Across Parameterizations and Optimizers"; sapientinc/HRM-Text,
models/adam_atan2.py.) Looked at and left: `adam-atan2-pytorch` scales by 1.27 and orders its state otherwise, 6 to 24 %
of the path away after 60 steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer, ParamsT

from hrm_align.errors import UserError
from hrm_align.models.layers import PRESETS, preset_has


class AdamAtan2(Optimizer):
    """Adam-atan2.

    Args:
        params: what to train.
        lr: learning rate.
        betas: decay of the two moments.
        weight_decay: decoupled, per unit of learning rate.

    Raises:
        ValueError: for a number out of range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
    ):
        if lr < 0.0 or weight_decay < 0.0 or not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"lr {lr}, betas {betas}, weight_decay {weight_decay}: out of range")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update. Returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = square.sqrt().div_((1 - beta2 ** state["step"]) ** 0.5)
        # Not `mul_(1 - lr * weight_decay)`: that factor, rounded to float32, errs the same way at every step.
        weight.add_(weight, alpha=-group["lr"] * group["weight_decay"])
        weight.add_(torch.atan2(mean, spread), alpha=-group["lr"] / (1 - beta1 ** state["step"]))


def check_rates(rates: Mapping[str, float]) -> None:
    """Refuse a group that is no preset, and a rate that is no number above zero.

    Raises:
        UserError: naming it.
    """
    for name, rate in rates.items():
        if name not in PRESETS:
            raise UserError(f"module_learning_rates: {name!r} is no group of modules: use {', '.join(PRESETS)}.")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < float("inf"):
            raise UserError(f"module_learning_rates: the rate of {name} is {rate!r}: it must be a number, 0 or more.")


def set_rates(optimizer: torch.optim.Optimizer, model: nn.Module, rates: Mapping[str, float]) -> None:
    """Give parameters of named modules a rate of their own; the last preset that has a module counts.

    Every group of the optimizer is split by rate, before its first step. Weight decay and the rest stay.

    Args:
        optimizer: one that has not stepped yet.
        model: whose parameters it has.
        rates: by preset; all others keep the optimizer's rate.
    """
    names = {weight: name for name, weight in model.named_parameters()}

    def rate_of(weight: nn.Parameter, usual: float) -> float:
        own = [rate for preset, rate in rates.items() if preset_has(preset, names[weight])]
        return float(own[-1]) if own else usual

    groups = []
    for group in optimizer.param_groups:
        by_rate: dict[float, list[nn.Parameter]] = {}
        for weight in group["params"]:
            by_rate.setdefault(rate_of(weight, group["lr"]), []).append(weight)
        groups += [{**group, "lr": rate, "params": weights} for rate, weights in by_rate.items()]
    optimizer.param_groups[:] = groups

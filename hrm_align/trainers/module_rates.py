"""A learning rate for each group of modules, under one schedule."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from hrm_align.errors import UserError
from hrm_align.models.layers import PRESETS, preset_has


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

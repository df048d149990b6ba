"""Gradient horizon: the number of stack passes, counted from the last, that carry gradient.

A forward runs the L stack H_cycles x L_cycles times and the H stack H_cycles times (8 passes for H 2 x L 3). The
official training backpropagates through the last `bp_steps` passes only: the last `min(H_cycles, bp_steps - 1)` H
passes, and the last L passes for the rest. `bp_steps` is 5 for fine-tuning, and rises from 2 to 5 over the first fifth
of pretraining (sapientinc/HRM-Text, models/baselines/hrm_nocarry_bp_warmup.py). Passes outside the horizon build no
graph and need no activation memory.

Transformers' config key `L_bp_cycles` can express only horizons that include every H pass, and cannot change with the
step. `Horizon` supports all horizons, by hooks on the two stacks of an unmodified model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import HrmTextConfig
from transformers.models.hrm_text.modeling_hrm_text import HrmTextModel

from hrm_align.errors import UserError
from hrm_align.models.sharding import is_sharded_inside, local_part

SHORTEST = 2  # one pass of each stack


@dataclass(frozen=True)
class HorizonSchedule:
    """`bp_steps` as a function of the optimizer step alone, so that a resumed run has the same horizon.

    Args:
        min_steps: `bp_steps` at the start of the warm-up.
        max_steps: `bp_steps` at the end of the warm-up; equal to `min_steps` for a constant horizon.
        warmup_steps: optimizer steps of the warm-up; 0 for none.
    """

    min_steps: int
    max_steps: int
    warmup_steps: int = 0

    def at(self, step: int) -> int:
        """Return `bp_steps` of an optimizer step, counted from 1."""
        share = 1.0 if self.warmup_steps <= 0 else min(1.0, step / self.warmup_steps)
        return self.min_steps + int(share * (self.max_steps - self.min_steps))


def longest(config: HrmTextConfig) -> int:
    """Return the largest `bp_steps`, with which every pass carries gradient."""
    return config.H_cycles * (config.L_cycles + 1)


def official(config: HrmTextConfig) -> int:
    """Return `bp_steps` of the official fine-tuning: every H pass and the last cycle of L; 5 for H 2 x L 3."""
    return config.H_cycles + config.L_cycles


def carrying_passes(bp_steps: int, config: HrmTextConfig) -> tuple[list[bool], list[list[bool]]]:
    """Compute which passes carry gradient.

    Args:
        bp_steps: number of passes that carry gradient.
        config: config of the model.

    Returns:
        For each H pass whether it carries gradient (H_cycles,), and the same for the L passes of each H cycle
        (H_cycles, L_cycles).

    Raises:
        UserError: if the model has no such horizon.
    """
    check_bp_steps(bp_steps, config)
    h_steps = min(config.H_cycles, bp_steps - 1)
    l_steps = bp_steps - h_steps
    high = [cycle >= config.H_cycles - h_steps for cycle in range(config.H_cycles)]
    first = config.H_cycles * config.L_cycles - l_steps
    low = [
        [cycle * config.L_cycles + step >= first for step in range(config.L_cycles)] for cycle in range(config.H_cycles)
    ]
    return high, low


def check_bp_steps(bp_steps: int, config: HrmTextConfig, key: str = "bp_steps") -> None:
    """Check that the model has a horizon of `bp_steps` passes.

    Args:
        bp_steps: number of passes that carry gradient.
        config: config of the model.
        key: name of the setting, for the message.

    Raises:
        UserError: if `bp_steps` is out of range.
    """
    if not SHORTEST <= bp_steps <= longest(config):
        raise UserError(
            f"invalid value for --{key}: {bp_steps}. This model has {longest(config)} stack passes, so use {SHORTEST} to "
            f"{longest(config)}; the official fine-tuning uses {official(config)}."
        )


def to_l_bp_cycles(bp_steps: int, config: HrmTextConfig) -> list[int] | None:
    """Convert a horizon to Transformers' `L_bp_cycles`; None if not every H pass carries gradient."""
    high, low = carrying_passes(bp_steps, config)
    return [sum(cycle) for cycle in low] if all(high) else None


def from_l_bp_cycles(cycles: Sequence[int], config: HrmTextConfig) -> int | None:
    """Convert a config's `L_bp_cycles` to `bp_steps`; None if it is no official horizon, such as Transformers' default [2]."""
    padded = [1] * max(0, config.H_cycles - len(cycles)) + list(cycles)
    for bp_steps in range(SHORTEST, longest(config) + 1):
        if to_l_bp_cycles(bp_steps, config) == padded:
            return bp_steps
    return None


class Horizon:
    """Gradient horizon of a model, by hooks on its two stacks; `detach` removes the hooks.

    The hooks count no calls: the number of a pass follows from the `cycle_offset` that the model passes to each stack.
    The horizon is therefore exact with and without non-reentrant checkpointing, adapters, DDP and compilation.

    Args:
        model: an HRM-Text, bare or wrapped.
        bp_steps: initial horizon; `set` changes it.

    Raises:
        UserError: if the model has no such horizon.
    """

    def __init__(self, model: nn.Module, bp_steps: int):
        self.backbone = get_backbone(model)
        self._original = self.backbone.L_bp_cycles_padded
        self._inside: list[
            tuple[int, bool]
        ] = []  # running passes, each with the grad mode to restore, also after an error
        config = self.backbone.config
        self.set(bp_steps)
        # Transformers' own switch lets every pass carry gradient, so that only the hooks decide.
        self.backbone.L_bp_cycles_padded = [config.L_cycles] * config.H_cycles
        self._handles = []
        for stack in (self.backbone.L_module, self.backbone.H_module):
            self._handles.append(stack.register_forward_pre_hook(self._enter, with_kwargs=True))
            self._handles.append(stack.register_forward_hook(self._leave, always_call=True))

    def set(self, bp_steps: int) -> None:
        """Use another horizon from the next forward on. Raises UserError if the model has no such horizon."""
        high, low = carrying_passes(bp_steps, self.backbone.config)
        self.bp_steps = bp_steps
        # (passes,), in the order of execution: the L passes of a cycle, then its H pass.
        self._carries = [carries for cycle, last in zip(low, high, strict=True) for carries in (*cycle, last)]
        self._recasts = self._passes_to_recast() if is_sharded_inside(self.backbone) else frozenset()

    def _passes_to_recast(self) -> frozenset[int]:
        """Return the first carrying pass of each stack, if the stack has a pass without gradient before it.

        Autocast caches the cast of a weight at its first use. If the first use is in a pass without gradient, the cast
        is the oldest node of the graph, and its gradient reaches the weight only after FSDP has reduced the block's
        gradients: that gradient is silently lost (torch 2.13). The autocast cache is therefore cleared before these
        passes.
        """
        cycle = self.backbone.config.L_cycles + 1
        is_high = [number % cycle == cycle - 1 for number in range(len(self._carries))]
        firsts: frozenset[int] = frozenset()
        for stack in (False, True):
            passes = [number for number, high in enumerate(is_high) if high == stack]
            first = next(number for number in passes if self._carries[number])
            firsts |= {first} - {passes[0]}
        return firsts

    @property
    def reaches_embedding(self) -> bool:
        """True if the embedding gets a gradient, that is, if the first H pass carries gradient."""
        return self._carries[self.backbone.config.L_cycles]

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self.backbone.L_bp_cycles_padded = self._original

    def _enter(self, stack: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        layers = self.backbone.config.num_layers_per_stack
        assert layers is not None
        number = kwargs["cycle_offset"] // layers
        self._inside.append((number, torch.is_grad_enabled()))
        if number in self._recasts and torch.is_grad_enabled():
            torch.clear_autocast_cache()
        torch.set_grad_enabled(torch.is_grad_enabled() and self._carries[number])

    def _leave(self, stack: nn.Module, args: tuple[Any, ...], output: Tensor | None) -> Tensor | None:
        number, before = self._inside.pop()
        torch.set_grad_enabled(before)
        weight = self.backbone.embed_tokens.weight
        is_last = number == len(self._carries) - 1
        if output is None or not is_last or self.reaches_embedding or not (before and weight.requires_grad):
            return None  # the output unchanged
        # DDP fails on a parameter without a gradient, so the embedding gets a zero gradient; also on one process, so that the
        # optimizer's updates are the same.
        return output + 0.0 * local_part(weight)[:1].sum()


def get_backbone(model: nn.Module) -> HrmTextModel:
    """Return the HRM-Text backbone inside a model, an adapter model or a wrapper."""
    for module in model.modules():
        if isinstance(module, HrmTextModel):
            return module
    raise TypeError(f"{type(model).__name__} holds no HrmTextModel")

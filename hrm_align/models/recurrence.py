"""The gradient horizon: how many of the stack passes, counted from the last, carry gradient.

A forward runs the L stack H_cycles x L_cycles times and the H stack H_cycles times (8 passes for H 2 x L 3). The official
training backpropagates through the last `bp_steps` of them only: H gets `min(H_cycles, bp_steps - 1)`, L the rest, always
the last ones; 5 for fine-tuning, 2 rising to 5 over the first fifth of pretraining (sapientinc/HRM-Text,
models/baselines/hrm_nocarry_bp_warmup.py). Passes outside the horizon build no graph: they cost no activation memory.

The port can say some horizons in its config (`L_bp_cycles`), but always differentiates every H pass, and cannot change
with the step. `Horizon` does both with hooks on the two stacks of an unmodified model.
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
    """`bp_steps` as a function of the step alone, so that a resumed run has the horizon of the uninterrupted one.

    Args:
        min_steps: where the warm-up begins.
        max_steps: where it ends; equal to `min_steps` for a constant horizon.
        warmup_steps: optimizer steps over which it rises; 0 for none.
    """

    min_steps: int
    max_steps: int
    warmup_steps: int = 0

    def at(self, step: int) -> int:
        """`bp_steps` of an optimizer step, counted from 1."""
        share = 1.0 if self.warmup_steps <= 0 else min(1.0, step / self.warmup_steps)
        return self.min_steps + int(share * (self.max_steps - self.min_steps))


def longest(config: HrmTextConfig) -> int:
    """`bp_steps` that carries gradient through every pass."""
    return config.H_cycles * (config.L_cycles + 1)


def official(config: HrmTextConfig) -> int:
    """`bp_steps` of the official fine-tuning: every H pass and the last cycle of L. 5 for H 2 x L 3."""
    return config.H_cycles + config.L_cycles


def carrying_passes(bp_steps: int, config: HrmTextConfig) -> tuple[list[bool], list[list[bool]]]:
    """Which passes carry gradient.

    Args:
        bp_steps: how many of all passes.
        config: of the model.

    Returns:
        For each H pass whether it carries gradient, and for each H cycle the same for its L passes.

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
    """Refuse a horizon that the model does not have.

    Raises:
        UserError: naming the key.
    """
    if not SHORTEST <= bp_steps <= longest(config):
        raise UserError(
            f"--{key} is {bp_steps}: this model has {longest(config)} stack passes, so use {SHORTEST} to "
            f"{longest(config)}; the official fine-tuning has {official(config)}."
        )


def to_l_bp_cycles(bp_steps: int, config: HrmTextConfig) -> list[int] | None:
    """The horizon as the port's config key `L_bp_cycles`, or None where it cannot say it (not every H pass carries)."""
    high, low = carrying_passes(bp_steps, config)
    return [sum(cycle) for cycle in low] if all(high) else None


def from_l_bp_cycles(cycles: Sequence[int], config: HrmTextConfig) -> int | None:
    """The official horizon that a config's `L_bp_cycles` stands for, or None if it is none, as the port's own [2]."""
    padded = [1] * max(0, config.H_cycles - len(cycles)) + list(cycles)
    for bp_steps in range(SHORTEST, longest(config) + 1):
        if to_l_bp_cycles(bp_steps, config) == padded:
            return bp_steps
    return None


class Horizon:
    """Drives the horizon of a model in place; `detach` puts the model back as it was.

    Exact with and without non-reentrant checkpointing, under adapters, DDP and compilation, because it keeps no counter:
    the pass is read from the `cycle_offset` that the model gives each stack.

    Args:
        model: an HRM-Text, bare or wrapped.
        bp_steps: the horizon to begin with; `set` changes it.

    Raises:
        UserError: if the model has no such horizon.
    """

    def __init__(self, model: nn.Module, bp_steps: int):
        self.backbone = backbone_of(model)
        self._original = self.backbone.L_bp_cycles_padded
        self._inside: list[tuple[int, bool]] = []  # pass and the grad mode to return to; a raise unwinds it too
        config = self.backbone.config
        self.set(bp_steps)
        # The port's own switch is opened: the hooks alone decide.
        self.backbone.L_bp_cycles_padded = [config.L_cycles] * config.H_cycles
        self._handles = []
        for stack in (self.backbone.L_module, self.backbone.H_module):
            self._handles.append(stack.register_forward_pre_hook(self._enter, with_kwargs=True))
            self._handles.append(stack.register_forward_hook(self._leave, always_call=True))

    def set(self, bp_steps: int) -> None:
        """Use another horizon from the next forward on. Raises UserError if the model has no such horizon."""
        high, low = carrying_passes(bp_steps, self.backbone.config)
        self.bp_steps = bp_steps
        # In the order of the passes: the L passes of a cycle, then its H pass.
        self._carries = [carries for cycle, last in zip(low, high, strict=True) for carries in (*cycle, last)]
        self._recasts = self._first_carrying_behind_others() if is_sharded_inside(self.backbone) else frozenset()

    def _first_carrying_behind_others(self) -> frozenset[int]:
        """The first carrying pass of each stack that has run without gradient before it.

        Autocast keeps the cast of a weight from its first use on. Where that was a pass without gradient, the cast is the
        oldest node of the graph, and its gradient reaches the weight only after FSDP has reduced those of the block: the
        weight is then trained without it, without an error (torch 2.13).
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
        """Whether the embedding gets a gradient: only the first H pass brings it one."""
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
            return None  # the output as it is
        # DDP stops at a parameter without a gradient: give it a zero, on one process too, so that both update alike.
        return output + 0.0 * local_part(weight)[:1].sum()


def backbone_of(model: nn.Module) -> HrmTextModel:
    """The HRM-Text backbone inside a model, an adapter model or a wrapper."""
    for module in model.modules():
        if isinstance(module, HrmTextModel):
            return module
    raise TypeError(f"{type(model).__name__} holds no HrmTextModel")

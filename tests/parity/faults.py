"""Faults of every size, to plant in one of two paths that should compute the same model.

A size of 0 is no fault. Each context lasts as long as the path that it spoils runs: `in_sampler` makes a sampler of one.
The mask that `hrm_align.models.rounding` draws for itself passes through none of the places that are patched here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer, LoraModel
from torch import Tensor, nn

from hrm_align.models import prefix_mask
from hrm_align.models.intervals import build_attention_mask
from hrm_align.rollouts.local import sample

Fault = Callable[[Any], AbstractContextManager]  # of the model that is spoilt

CAUSAL = 1e4  # a size of `causal_prompt` at which nothing of the prompt behind a token is seen


@contextmanager
def causal_prompt(model: Any, size: float, tokens: int | None = None) -> Iterator[None]:
    """Lower the attention scores from each prompt token to those behind it by `size`: at `CAUSAL` a causal prompt.

    Args:
        model: any; all that build a mask are spoilt.
        size: subtracted from scores.
        tokens: only as far as the last so many prompt tokens are seen, as where they have token type 0.
    """

    def spoilt(intervals: Any, config: Any, dtype: torch.dtype, kv_length: int | None = None) -> Tensor:
        mask = build_attention_mask(intervals, config, dtype, kv_length)
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
        query, key = torch.arange(mask.shape[-2])[:, None], torch.arange(mask.shape[-1])[None, :]
        last = intervals.last[:, None, :, None]  # of the prompt, for a prompt token
        ahead = (key > query) & (key <= last)  # of what is visible, only a prompt has anything ahead
        if tokens is not None:
            ahead = ahead & (key > last - tokens)
        return mask - size * ahead.to(dtype)

    with (
        patch.object(prefix_mask, "build_attention_mask", spoilt),
        patch.object(prefix_mask, "make_plan", lambda *_: None),
    ):
        yield


@contextmanager
def shifted_positions(model: Any, size: float) -> Iterator[None]:
    """Write answer tokens, one at a time behind a cache, at positions that are `size` too high."""

    def shift(module: nn.Module, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        states, positions = given
        return (states, positions + size) if states.shape[1] == 1 else None

    hook = inner(model).model.rotary_emb.register_forward_pre_hook(shift)
    try:
        yield
    finally:
        hook.remove()


def in_sampler(fault: Fault) -> Callable[..., Any]:
    """`hrm_align.rollouts.local.sample` under a fault, to stand in its place in `hrm_align.rollouts.groups`."""

    def spoilt(engine: Any, *args: Any, **kwargs: Any) -> Any:
        with fault(engine.model):
            return sample(engine, *args, **kwargs)

    return spoilt


@contextmanager
def in_reference(trainer: Any, fault: Fault) -> Iterator[None]:
    """Spoil the forwards of a GRPO trainer's reference: of its own model, or of the policy while its adapter is off."""
    model = trainer.accelerator.unwrap_model(trainer.model if trainer.ref_model is None else trainer.ref_model)
    backbone = inner(model).model
    forward = backbone.forward

    def spoilt(*args: Any, **kwargs: Any) -> Any:
        if trainer.ref_model is None and not any(layer.disable_adapters for layer in adapted_layers(model).values()):
            return forward(*args, **kwargs)
        with fault(model):
            return forward(*args, **kwargs)

    backbone.forward = spoilt
    try:
        yield
    finally:
        del backbone.forward


@contextmanager
def wrong_scale(layers: str, factor: float) -> Iterator[None]:
    """Merge adapters with the scale of some layers multiplied by `factor`; 0 leaves them out.

    Args:
        layers: part of their names; empty for all.
        factor: of the scale.
    """
    whole = LoraModel.merge_and_unload

    def spoilt(model: LoraModel, *args: Any, **kwargs: Any) -> Any:
        for name, layer in adapted_layers(model).items():
            if layers in name:
                layer.scaling.update({adapter: scale * factor for adapter, scale in layer.scaling.items()})
        return whole(model, *args, **kwargs)

    with patch.object(LoraModel, "merge_and_unload", spoilt):
        yield


def adapted_layers(model: nn.Module) -> dict[str, Any]:
    """Layers with an adapter, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


@torch.no_grad()
def randomise_adapter(model: nn.Module, seed: int, size: float = 1e-3) -> None:
    """Give a fresh adapter the effect of a trained one: deltas of random matrices."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.copy_(size * torch.randn(weight.shape, generator=generator))


def inner(model: Any) -> Any:
    """The HrmTextForCausalLM inside of an adapter, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model

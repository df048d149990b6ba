"""The blocks of both stacks, compiled for training: what stands between products and attention becomes a few kernels.

Each block is compiled by itself and shares its code with all others of its shape, so that depth and recurrence cost no further
compilation, names of weights stay what they are, and hooks on stacks and model (mask, horizon, health) see what they saw.
Forwards that write a cache, and evaluations, stay as they are: their shapes change with every token.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from hrm_align.models.horizon import backbone_of


def compile_blocks(model: nn.Module) -> None:
    """Compile a model's blocks in place, at their first training forward. Lengths and batches may vary.

    Args:
        model: an HRM-Text, bare or with adapters.
    """
    backbone = backbone_of(model)
    for stack in (backbone.L_module, backbone.H_module):
        for block in stack.layers:
            block.forward = _compiled_in_training(block)


def _compiled_in_training(block: Any) -> Any:
    as_it_was = block.forward
    # Transformers wraps recomputation around a layer's own forward; it stays outside of what is compiled.
    compiled = torch.compile(inspect.unwrap(type(block).forward).__get__(block), dynamic=True)

    @functools.wraps(as_it_was)
    def forward(*args: Any, past_key_values: Any = None, **kwargs: Any) -> Tensor:
        if past_key_values is not None or not block.training:
            return as_it_was(*args, past_key_values=past_key_values, **kwargs)
        if block.gradient_checkpointing:
            return block._gradient_checkpointing_func(functools.partial(compiled, **kwargs), *args)
        return compiled(*args, **kwargs)

    return forward

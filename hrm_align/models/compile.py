"""The blocks of both stacks, compiled for training: what stands between products and attention becomes a few kernels.

Each block is compiled by itself and shares its code with all others of its shape, so that depth and recurrence cost no further
compilation, names of weights stay what they are, and hooks on stacks and model (mask, horizon, health) see what they saw.
Forwards that write a cache, and evaluations, stay as they are: their shapes change with every token. A deep copy of such a
model still runs the blocks of the original.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from hrm_align.errors import UserError
from hrm_align.models.prefix_mask import CACHE
from hrm_align.models.recurrence import backbone_of

VARIANTS = 64  # of a block: with gradient and without, one row and more, adapter on and off ...; the default is 8


def compile_blocks(model: nn.Module) -> None:
    """Compile a model's blocks in place, at their first training forward. Lengths and batches may vary.

    Args:
        model: an HRM-Text, bare or with adapters.

    Raises:
        UserError: if nothing can be compiled on this machine.
    """
    backbone = backbone_of(model)
    if (reason := reason_not_to_compile(backbone.z_L_init.device)) is not None:  # before anything is trained
        raise UserError(
            f"--compile_blocks cannot compile on this machine ({reason.removesuffix('.')}): install them, or leave it out."
        )
    torch._dynamo.config.recompile_limit = VARIANTS
    # DDP would cut the blocks to send gradients early; those of recurrent weights are ready at the end alone.
    torch._dynamo.config.optimize_ddp = False
    for stack in (backbone.L_module, backbone.H_module):
        for block in stack.layers:
            block.forward = _compiled_in_training(block)


def reason_not_to_compile(device: torch.device) -> str | None:
    """What is missing, found by compiling something: compilers, headers and kernels are absent from many images."""
    try:
        torch.compile(lambda numbers: numbers.sin() * 2)(torch.ones(8, device=device))
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        return f"{type(error).__name__}: {said}. A CPU needs g++ and Python's headers, a GPU gcc and Triton."
    return None


def _compiled_in_training(block: Any) -> Any:
    as_it_was = block.forward
    # Transformers wraps recomputation around a layer's own forward; it stays outside of what is compiled.
    compiled = torch.compile(inspect.unwrap(type(block).forward).__get__(block), dynamic=True)

    @functools.wraps(as_it_was)
    def forward(*args: Any, **kwargs: Any) -> Tensor:
        if kwargs.get(CACHE) is not None or not block.training:
            return as_it_was(*args, **kwargs)
        if block.gradient_checkpointing:
            return block._gradient_checkpointing_func(functools.partial(compiled, **kwargs), *args)
        return compiled(*args, **kwargs)

    return forward

"""Compilation of the blocks of both stacks for training: operations between matrix products and attention become few kernels.

Each block is compiled separately, and blocks of one shape share the compiled code: depth and recurrence need no further
compilation, the names of weights do not change, and hooks on stacks and model (mask, horizon, health) work as before.
Forwards with a cache, and evaluations, are not compiled, because their shapes change with every token. A deep copy of a
compiled model still runs the blocks of the original.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from hrm_align.errors import UserError
from hrm_align.models.prefix_mask import CACHE
from hrm_align.models.recurrence import get_backbone

VARIANTS = 64  # compiled variants of a block (with and without gradient, one row or more, adapter on or off); default 8


def compile_blocks(model: nn.Module) -> None:
    """Compile a model's blocks in place, at their first training forward, for all lengths and batch sizes.

    Args:
        model: an HRM-Text, bare or with adapters.

    Raises:
        UserError: if this machine cannot compile.
    """
    backbone = get_backbone(model)
    if (reason := reason_not_to_compile(backbone.z_L_init.device)) is not None:  # checked before the training starts
        raise UserError(
            f"--compile_blocks cannot compile on this machine ({reason.removesuffix('.')}). Install these, or leave "
            "--compile_blocks out."
        )
    torch._dynamo.config.recompile_limit = VARIANTS
    # DDP would split the blocks to send gradients early; gradients of recurrent weights are complete only at the end.
    torch._dynamo.config.optimize_ddp = False
    for stack in (backbone.L_module, backbone.H_module):
        for block in stack.layers:
            block.forward = _compiled_in_training(block)


def reason_not_to_compile(device: torch.device) -> str | None:
    """Compile a small function, and return why that fails on this machine (compiler, headers or Triton missing), or None."""
    try:
        torch.compile(lambda numbers: numbers.sin() * 2)(torch.ones(8, device=device))
    except Exception as error:
        detail = " ".join(str(error).split())[:300]
        return f"{type(error).__name__}: {detail}. A CPU needs g++ and Python's headers, a GPU gcc and Triton."
    return None


def _compiled_in_training(block: Any) -> Any:
    original = block.forward
    # Transformers wraps gradient checkpointing around a layer's forward; checkpointing stays outside the compiled code.
    compiled = torch.compile(inspect.unwrap(type(block).forward).__get__(block), dynamic=True)

    @functools.wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Tensor:
        if kwargs.get(CACHE) is not None or not block.training:
            return original(*args, **kwargs)
        if block.gradient_checkpointing:
            return block._gradient_checkpointing_func(functools.partial(compiled, **kwargs), *args)
        return compiled(*args, **kwargs)

    return forward

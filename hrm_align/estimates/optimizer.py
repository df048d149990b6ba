"""Count the bytes of an optimizer's state, and of its temporaries during a step.

The optimizer makes steps on tensors without data, so the size of its state is read from the state itself. Optimizers of
bitsandbytes and torchao, whose kernels need data, are counted from their documented layout: codes of 8 or 4 bits, one float32 scale
for each block of codes, and float32 for small tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import torch
from torch import nn
from transformers import Trainer

from hrm_align.config.arguments import StabiliserArguments
from hrm_align.config.rules import first_sentence
from hrm_align.errors import UserError
from hrm_align.estimates.activations import Live
from hrm_align.trainers.mixin import custom_optimizer

FLOAT32 = 4
SMALL = 4096  # a smaller tensor keeps its state in float32


@dataclass(frozen=True)
class Optimizer:
    """Bytes of an optimizer's state from its first step on, and of the temporaries of a step."""

    state: int
    temporaries: int


@dataclass(frozen=True)
class Blocks:
    """Layout of a quantised state: each block of numbers has codes and one scale.

    Args:
        states: number of states per weight.
        bits: bits of a code; 32 for a state that is not quantised.
        block: numbers that share a scale.
        whole_blocks: whether a tensor that does not divide into blocks stays in float32.
        embeddings: whether embeddings are quantised too.
        working: float32 numbers per weight that a step on a CPU needs for the current tensor to decode its codes; a fused GPU
            kernel needs none.
    """

    states: int
    bits: int
    block: int = 256
    whole_blocks: bool = False
    embeddings: bool = False
    working: int = 0

    def size(self, numbers: int, is_embedding: bool) -> int:
        """Return the bytes for a tensor of so many numbers."""
        is_whole = numbers < SMALL or (self.whole_blocks and numbers % self.block != 0)
        if self.bits == 32 or is_whole or (is_embedding and not self.embeddings):
            return self.states * FLOAT32 * numbers
        return self.states * (numbers * self.bits // 8 + FLOAT32 * ceil(numbers / self.block))


# bitsandbytes: https://huggingface.co/docs/bitsandbytes/optimizers; Transformers keeps embeddings in 32 bits there.
# Paged state is counted whole: it leaves the device only when that is full. A step on a CPU holds in float32 the decoded states,
# the scaled gradient, and two parts of the update (0.50, `_optimizer_update_8bit_blockwise_cpu`).
BLOCKS = {
    **dict.fromkeys(("adamw_bnb_8bit", "adamw_8bit", "paged_adamw_8bit"), Blocks(2, 8, working=5)),
    **dict.fromkeys(("lion_8bit", "paged_lion_8bit", "rmsprop_bnb_8bit"), Blocks(1, 8, working=4)),
    **dict.fromkeys(("ademamix_8bit", "paged_ademamix_8bit"), Blocks(3, 8, working=9)),
    **dict.fromkeys(("lion_32bit", "paged_lion_32bit", "rmsprop_bnb", "rmsprop_bnb_32bit"), Blocks(1, 32, working=3)),
    **dict.fromkeys(("ademamix", "paged_ademamix_32bit"), Blocks(3, 32, working=4)),
    "paged_adamw_32bit": Blocks(2, 32, working=3),
    # torchao.optim
    "adamw_torch_8bit": Blocks(2, 8, whole_blocks=True, embeddings=True),
    "adamw_torch_4bit": Blocks(2, 4, block=128, whole_blocks=True, embeddings=True),
}  # fmt: skip
# Optimizers with AdamW's state and update whose kernels need a device.
_AS_ADAMW = ("adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused")


def optimizer_memory(
    args: Any, tensors: Mapping[tuple[tuple[int, ...], torch.dtype, bool], int], on_gpu: bool = False
) -> Optimizer:
    """Count the bytes that `optim` needs for the trained weights.

    Args:
        args: training settings with the optimizer and its arguments.
        tensors: number of trained tensors by shape, type, and whether the tensor is an embedding.
        on_gpu: whether the step runs on a GPU, where bitsandbytes' kernels need no temporaries.

    Raises:
        UserError: if the optimizer's package is not installed, or the optimizer needs the whole model.
    """
    if blocks := BLOCKS.get(optimizer_name(args)):
        largest = max((prod(shape) for shape, _, _ in tensors), default=0)
        return Optimizer(
            sum(n * blocks.size(prod(shape), held) for (shape, _, held), n in tensors.items()),
            0 if on_gpu else blocks.working * FLOAT32 * largest,
        )
    state, temporaries = 0, 0
    for (shape, dtype, _), number in tensors.items():
        memory = _measure_step(args, shape, dtype)
        state += number * memory.state
        temporaries = max(temporaries, memory.temporaries)
    return Optimizer(state, 0 if optimizer_name(args) in _AS_ADAMW else temporaries)


def optimizer_name(args: Any) -> str:
    """Return `optim` as a recipe writes it; Transformers turns it into a member of an enumeration."""
    return str(getattr(args.optim, "value", args.optim))


def _measure_step(args: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Optimizer:
    """Measure the state and temporaries of one weight with steps on the meta device."""
    weight = nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"))
    weight.grad = torch.empty_like(weight)
    optimizer = _make_optimizer(args, weight)
    try:
        optimizer.step()  # the first step creates the state, the second only temporaries
        with Live() as live:
            optimizer.step()
    except (RuntimeError, NotImplementedError, TypeError, AttributeError) as error:
        raise _cannot_count(args, f"cannot step on tensors without data ({first_sentence(error)})") from error
    held = {id(part): part for part in optimizer.state[weight].values() if isinstance(part, torch.Tensor)}
    return Optimizer(sum(part.nbytes for part in held.values()), live.peak)


def _make_optimizer(args: Any, weight: nn.Parameter) -> Any:
    class_and_keywords = custom_optimizer(args)
    if class_and_keywords is None:
        args = copy.copy(args)
        args.optim = "adamw_torch" if optimizer_name(args) in _AS_ADAMW else args.optim
        try:
            layer: Any = nn.Linear(1, 1)
            class_and_keywords = Trainer.get_optimizer_cls_and_kwargs(args, layer)
        except ImportError as error:
            raise _cannot_count(args, f"needs a package that is not installed ({first_sentence(error)})") from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise _cannot_count(args, f"cannot be created ({first_sentence(error)})") from error
    make, keywords = class_and_keywords
    if keywords.keys() & {"params", "model", "optimizer_dict"}:
        raise _cannot_count(args, "needs the whole model")
    return make([weight], **keywords)


def _cannot_count(args: Any, why: str) -> UserError:
    return UserError(
        f"the memory of optim {optimizer_name(args)} cannot be estimated: it {why}. Set another optim, such as "
        f"{StabiliserArguments.ADAM_ATAN2}, sgd or adamw_8bit."
    )

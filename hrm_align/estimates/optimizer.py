"""What an optimizer holds for each weight, and what it takes besides during a step.

The optimizer itself steps once on weights that have a shape and no content, so that its state is what it says. Those of
bitsandbytes and torchao, whose kernels want content, are counted from the layout that they document: codes of 8 or 4 bits,
a number in float32 for each block of them, and float32 for tensors that are too small.
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
from hrm_align.config.rules import reason_of
from hrm_align.errors import UserError
from hrm_align.estimates.activations import Live
from hrm_align.trainers.mixin import optimizer_of

FLOAT32 = 4
SMALL = 4096  # numbers below which a tensor's state stays in float32


@dataclass(frozen=True)
class Optimizer:
    """Bytes that it holds from its first step on, and those of the temporaries of a step."""

    state: int
    temporaries: int


@dataclass(frozen=True)
class Blocks:
    """State of which every block of numbers has codes and one scale.

    Args:
        states: for each weight.
        bits: of a code; 32 for whole numbers.
        block: numbers that share a scale.
        whole_blocks: whether a tensor that is no whole number of blocks stays in float32.
        embeddings: whether those are held as codes too.
        working: float32 numbers a weight that a step on a CPU takes for the tensor at hand, where codes are opened first;
            a fused kernel on a GPU takes none.
    """

    states: int
    bits: int
    block: int = 256
    whole_blocks: bool = False
    embeddings: bool = False
    working: int = 0

    def size(self, numbers: int, is_embedding: bool) -> int:
        """Bytes for a tensor of so many numbers."""
        is_whole = numbers < SMALL or (self.whole_blocks and numbers % self.block != 0)
        if self.bits == 32 or is_whole or (is_embedding and not self.embeddings):
            return self.states * FLOAT32 * numbers
        return self.states * (numbers * self.bits // 8 + FLOAT32 * ceil(numbers / self.block))


# bitsandbytes: https://huggingface.co/docs/bitsandbytes/optimizers; Transformers has it hold embeddings in 32 bits.
# Paged state is counted whole: it leaves the device only where that is full. A step on a CPU holds in float32 the opened
# states, the scaled gradient, and two parts of the update (0.50, `_optimizer_update_8bit_blockwise_cpu`).
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
# The same state and update, but kernels that want a device.
_AS_ADAMW = ("adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused")


def optimizer_memory(
    args: Any, tensors: Mapping[tuple[tuple[int, ...], torch.dtype, bool], int], on_gpu: bool = False
) -> Optimizer:
    """What `optim` takes for the weights that are trained.

    Args:
        args: of a recipe, which says the optimizer and its arguments.
        tensors: how many weights there are of a shape, a type, and as embeddings.
        on_gpu: whether it steps there: bitsandbytes' kernels take nothing besides.

    Raises:
        UserError: for an optimizer whose package is not installed or that wants the whole model.
    """
    if blocks := BLOCKS.get(name_of(args)):
        largest = max((prod(shape) for shape, _, _ in tensors), default=0)
        return Optimizer(
            sum(n * blocks.size(prod(shape), held) for (shape, _, held), n in tensors.items()),
            0 if on_gpu else blocks.working * FLOAT32 * largest,
        )
    state, temporaries = 0, 0
    for (shape, dtype, _), number in tensors.items():
        one = _stepped(args, shape, dtype)
        state += number * one.state
        temporaries = max(temporaries, one.temporaries)
    return Optimizer(state, 0 if name_of(args) in _AS_ADAMW else temporaries)


def name_of(args: Any) -> str:
    """`optim` as a recipe writes it; Transformers makes a member of its own enumeration of it."""
    return str(getattr(args.optim, "value", args.optim))


def _stepped(args: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Optimizer:
    """Of one weight, from a step on the device that computes nothing."""
    weight = nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"))
    weight.grad = torch.empty_like(weight)
    optimizer = _made(args, weight)
    try:
        optimizer.step()  # the first step makes the state; the second takes nothing but temporaries
        with Live() as live:
            optimizer.step()
    except (RuntimeError, NotImplementedError, TypeError, AttributeError) as error:
        raise _uncounted(args, f"does not step without content ({reason_of(error)})") from error
    held = {id(part): part for part in optimizer.state[weight].values() if isinstance(part, torch.Tensor)}
    return Optimizer(sum(part.nbytes for part in held.values()), live.peak)


def _made(args: Any, weight: nn.Parameter) -> Any:
    found = optimizer_of(args)
    if found is None:
        args = copy.copy(args)
        args.optim = "adamw_torch" if name_of(args) in _AS_ADAMW else args.optim
        try:
            layer: Any = nn.Linear(1, 1)
            found = Trainer.get_optimizer_cls_and_kwargs(args, layer)
        except ImportError as error:
            raise _uncounted(args, f"needs a package that is not installed ({reason_of(error)})") from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise _uncounted(args, f"cannot be made ({reason_of(error)})") from error
    make, keywords = found
    if keywords.keys() & {"params", "model", "optimizer_dict"}:
        raise _uncounted(args, "wants the whole model")
    return make([weight], **keywords)


def _uncounted(args: Any, why: str) -> UserError:
    another = f"such as {StabiliserArguments.ADAM_ATAN2}, sgd or adamw_8bit"
    return UserError(f"the state of optim {name_of(args)} cannot be counted: it {why}. Estimate another, {another}.")

"""What a run takes whatever its batch, and what each token of it does: memory by part, and floating-point operations.

Nothing is loaded: what autograd would keep for the backward is added up on tensors without content, at the run's own horizon,
adapter and precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import HrmTextConfig

from hrm_align.errors import UserError
from hrm_align.estimates.activations import NOTHING, Linear
from hrm_align.estimates.measured import HALF, LENGTHS, Head, Kind, measure
from hrm_align.estimates.optimizer import optimizer_memory
from hrm_align.models.attention import DENSE_ROW, PER_DOCUMENT
from hrm_align.models.loading import DTYPES
from hrm_align.models.recurrence import carrying_passes, longest
from hrm_align.models.varlen import VARLEN
from hrm_align.trainers.grpo_config import GRPORecipe
from hrm_align.trainers.mixin import horizon_schedule
from hrm_align.trainers.sft_config import SFTRecipe

Recipe = SFTRecipe | GRPORecipe

GIB = 2**30
MIB = 2**20
DOCUMENTS = 2  # that a packed row is taken to hold, where attention is cut into them

# What a process on a CPU takes besides its tensors, and no count of tensors shows; measured with glibc 2.36 and PyTorch 2.13
# (scripts/README.md).
LIBRARIES = 48 * MIB  # kernels, modules and rows that are loaded once the training begins
# Gaps in the heap, for each byte that the backward needs. A freed block serves no request of its own size, because glibc's
# posix_memalign, PyTorch's, asks for 64 bytes more, and splinters of such blocks stay in the gaps and keep them apart.
# Gradients, which are smaller, fit in.
GAPS = 0.45
GAPS_OF_AN_ADAPTER = {torch.float32: 1.1, torch.bfloat16: 0.6, torch.float16: 0.6}  # by the type of its base


@dataclass(frozen=True)
class Moment:
    """A moment of a step at which much is held.

    Args:
        name: for people.
        kept: share of what the blocks keep for the backward that is held then.
        gradients: bytes of gradients that are held then.
        temporaries: of the block that is computed.
        has_head: whether the head is computed then, with its own temporaries.
    """

    name: str
    kept: float
    gradients: int
    temporaries: Linear = NOTHING
    has_head: bool = False


@dataclass(frozen=True)
class Costs:
    """What a run takes on each device, whatever its batch; and what a token does.

    Args:
        fixed: bytes by name, of what is held throughout.
        moments: of a step, one of which is the largest.
        trained: parameters.
        activation: bytes kept for the backward, for each token.
        mask: bytes kept for each pair of tokens of a row: what sdpa makes of the mask, in every layer of every pass.
        head: what the head takes.
        of_head: bytes of its gradient among those of the head.
        gaps: bytes of the heap that stay unused, for each that is kept; None on a GPU, whose allocator closes them.
        forward: floating-point operations of the blocks for each token.
        backward: the same of the backward, and of what it computes again.
    """

    fixed: dict[str, int]
    moments: tuple[Moment, ...]
    trained: int
    activation: float
    mask: int
    head: Head
    of_head: int
    gaps: float | None
    forward: float
    backward: float

    def activations(self, tokens: int, rows: int) -> int:
        """Bytes that the blocks keep of so many tokens in so many rows of the same length."""
        return round(self.activation * tokens + self.mask * tokens**2 / rows)

    def largest(self, tokens: int, rows: int, scored: int) -> tuple[str, dict[str, int]]:
        """When a forward and its backward take most, and the bytes by name.

        A heap gives little back, so that a process holds the most of each part; where the parts of different moments stand in
        each other's place, as on a GPU, it is the largest moment.

        Args:
            tokens: of a forward.
            rows: that they stand in.
            scored: tokens that the head computes.
        """
        if self.gaps is not None:
            return "once the heap has its full size", self._heap(tokens, rows, scored)
        found = [(moment.name, self._parts(moment, tokens, rows, scored)) for moment in self.moments]
        return max(found, key=lambda pair: sum(pair[1].values()))

    def _heap(self, tokens: int, rows: int, scored: int) -> dict[str, int]:
        assert self.gaps is not None
        activations, last = self.activations(tokens, rows), self.moments[-1]
        gradients = last.gradients + self.moments[0].gradients  # those of the forwards before, and the new ones
        return {
            "activations": activations,
            "gradients": gradients,
            "head": max(0, self.head.at(scored) - self.of_head),
            "temporaries": max(moment.temporaries.at(tokens) for moment in self.moments),
            "gaps of the heap": max(0, round(self.gaps * activations) - last.gradients),
        }

    def _parts(self, moment: Moment, tokens: int, rows: int, scored: int) -> dict[str, int]:
        return {
            "activations": round(moment.kept * self.activations(tokens, rows)),
            "gradients": moment.gradients,
            "head": self.head.at(scored) if moment.has_head else 0,
            "temporaries": moment.temporaries.at(tokens),
        }


def count(recipe: Recipe, config: HrmTextConfig, processes: int = 1, on_gpu: bool = False) -> Costs:
    """What a recipe's model and its training take (weights are not split: DDP or a single process).

    Args:
        recipe: as parsed.
        config: of its model.
        processes: that train together; of several, each holds its gradients once more to send them.
        on_gpu: whether device memory is counted; of a CPU it is what the process takes.

    Raises:
        UserError: for a quantised base, whose size is bitsandbytes' own, for eager attention, and for an optimizer that
            cannot be counted.
    """
    if recipe.model.load_in_4bit or recipe.model.load_in_8bit:
        raise UserError(
            "a base in 4 or 8 bits is not counted: leave load_in_4bit and load_in_8bit out to estimate the same on a whole "
            "base, and auto_batch out to train."
        )
    if recipe.model.attn_implementation == "eager":
        raise UserError("eager attention keeps all its scores, which are not counted: use sdpa or per_document.")
    args, half = recipe.training, computes_in_half_precision(recipe.training)
    dtype, is_adapter = DTYPES[recipe.model.dtype], recipe.lora.use_peft
    bp_steps = horizon_schedule(args, config, 1).max_steps
    is_cut = _is_cut(recipe)
    sizes = measure(recipe.model, recipe.lora, config, Kind(half, is_cut, on_gpu, bp_steps))
    gradients, of_block = sizes.gradients, sizes.of_block
    optimizer = optimizer_memory(args, sizes.tensors, on_gpu)
    activation = (sizes.long - sizes.short) / (LENGTHS[1] - LENGTHS[0])
    copies = max(0, round(sizes.short - activation * LENGTHS[0])) if half else 0
    order = _passes_backward(bp_steps, config)
    passes, stack = len(order), int(config.num_layers_per_stack or 0)
    layers = passes * stack
    mask = (HALF if half else dtype.itemsize) * layers
    if args.activation_checkpointing:
        mask //= layers
        inside = activation / layers  # of one block, computed again
        of_block = (of_block[0], Linear(of_block[1].constant, of_block[1].per_token + inside))
        activation = config.hidden_size * dtype.itemsize * layers  # inputs of all
    if is_cut:
        mask //= DOCUMENTS if getattr(args, "packing", False) else 1
    elif recipe.model.attn_implementation in (VARLEN, "flex_attention"):
        mask = 0
    fixed = {
        "weights": sizes.weights,
        "optimizer": optimizer.state,
        "average": gradients if args.ema_decay is not None else 0,
        "half-precision copies": copies,
        "gradients on their way": gradients if processes > 1 else 0,
        "libraries": 0 if on_gpu else LIBRARIES,
    }
    accumulates = args.gradient_accumulation_steps > 1
    moments = _moments(sizes.by_stack, order, stack, of_block, gradients if accumulates else 0)
    moments.append(Moment("in the optimizer's step", 0, gradients, Linear(optimizer.temporaries, 0)))
    gaps = None if on_gpu else GAPS_OF_AN_ADAPTER[dtype] if is_adapter else GAPS
    forward, carried = _forward_of(config, longest(config)), _forward_of(config, passes)
    # A product's backward is one more for its input, and one for the weight if that is trained.
    backward = carried * (1 if is_adapter else 2) + (carried if args.activation_checkpointing else 0)
    return Costs(
        fixed,
        tuple(moments),
        sizes.trained,
        activation,
        mask,
        sizes.of_head,
        sizes.by_stack["head"],
        gaps,
        forward,
        backward,
    )


def _is_cut(recipe: Recipe) -> bool:
    """Whether attention runs document by document: not for short rows, where a mask of the whole row is faster."""
    length = getattr(recipe.training, "max_length", None)
    is_long = length is None or length > DENSE_ROW or bool(getattr(recipe.training, "share_prompts", False))
    return recipe.model.attn_implementation == PER_DOCUMENT and is_long


def _passes_backward(bp_steps: int, config: HrmTextConfig) -> list[str]:
    """The stacks of the passes that carry gradient, in the order of the backward."""
    high, low = carrying_passes(bp_steps, config)
    forward = [
        stack
        for of_cycle, is_carrying in zip(low, high, strict=True)
        for stack in ["L"] * sum(of_cycle) + ["H"] * is_carrying
    ]
    return forward[::-1]


def _moments(
    by_stack: dict[str, int], order: list[str], stack: int, of_block: tuple[Linear, Linear], before: int
) -> list[Moment]:
    """The moments of a forward and its backward.

    Args:
        by_stack: bytes of gradients.
        order: of the passes in the backward.
        stack: layers of one.
        of_block: temporaries of its forward and backward.
        before: bytes of gradients that are there already, of the forwards before it.
    """
    forward, backward = of_block
    moments = [
        Moment("at the end of the forward", 1, before, forward),
        Moment("while the gradient of the head is computed", 1, before, NOTHING, has_head=True),
    ]
    gradients, seen = before + by_stack["head"], set[str]()
    for number, name in enumerate(order):
        left, after = 1 - number / len(order), 1 - (number + 1) / len(order)
        moments.append(Moment("in the backward", left, gradients, backward))
        if name not in seen:
            seen.add(name)
            gradients += by_stack[name]
        moments.append(Moment("in the backward", after + 1 / (stack * len(order)), gradients, backward))
        if before and name not in order[number + 1 :]:  # the last use of its weights: added to what is there
            gradients -= by_stack[name]
    moments.append(Moment("at the end of the backward", 0, gradients + by_stack["embedding"], NOTHING))
    return moments


def computes_in_half_precision(args: Any) -> bool:
    """Whether a run autocasts its forward."""
    return bool(args.bf16 or args.fp16)


def weights_of_a_stack(config: HrmTextConfig) -> int:
    """In the products of one stack: query, key, value, gate and output of attention, three of the MLP."""
    attention = 5 * config.hidden_size * config.num_attention_heads * config.head_dim
    return (attention + 3 * config.hidden_size * config.intermediate_size) * int(config.num_layers_per_stack or 0)


def _forward_of(config: HrmTextConfig, passes: int) -> float:
    """Operations of so many stack passes for a token: two a weight."""
    return 2.0 * weights_of_a_stack(config) * passes

"""Fixed costs of a run and costs of each token: memory by part, and floating-point operations.

No weights are loaded: what autograd saves for the backward is counted on fake tensors, with the run's own horizon, adapter and
precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align.errors import UserError
from hrm_align.estimates.activations import DIVERGENCE, LOGPROBS, NOTHING, TOP_DIVERGENCE, Linear
from hrm_align.estimates.measured import HALF, LENGTHS, Head, Kind, measure
from hrm_align.estimates.optimizer import optimizer_memory
from hrm_align.models.attention import DENSE_ROW, PER_DOCUMENT
from hrm_align.models.loading import DTYPES
from hrm_align.models.recurrence import carrying_passes, longest
from hrm_align.models.varlen import VARLEN
from hrm_align.trainers.distillation_config import DistillationRecipe
from hrm_align.trainers.dpo_config import DPORecipe
from hrm_align.trainers.grpo_config import GRPORecipe
from hrm_align.trainers.kto_config import KTORecipe
from hrm_align.trainers.mixin import horizon_schedule
from hrm_align.trainers.reward_config import RewardRecipe
from hrm_align.trainers.sft_config import SFTRecipe

Recipe = SFTRecipe | DPORecipe | KTORecipe | GRPORecipe | RewardRecipe | DistillationRecipe

GIB = 2**30
MIB = 2**20
DOCUMENTS = 2  # documents that a packed row is assumed to hold, where attention runs document by document

# Memory of a CPU process besides its tensors, measured with glibc 2.36 and PyTorch 2.13 (docs/results/estimates.md).
LIBRARIES = 48 * MIB  # kernels, modules and rows that are loaded when training starts
# Unused heap per byte saved for the backward. A freed block cannot serve a request of the same size, because glibc's
# posix_memalign, which PyTorch uses, needs 64 bytes more; the splinters of such blocks keep the gaps apart. Gradients are smaller
# and fit into the gaps.
GAPS = 0.45
GAPS_OF_AN_ADAPTER = {torch.float32: 1.1, torch.bfloat16: 0.6, torch.float16: 0.6}  # by the dtype of the base


@dataclass(frozen=True)
class Moment:
    """A moment of an optimizer step at which memory may peak.

    Args:
        name: description for users.
        saved: share of the saved activations of the blocks that is still held.
        gradients: bytes of gradients held.
        temporaries: temporaries of the block that is being computed.
        has_head: whether the head is being computed, with its own temporaries.
    """

    name: str
    saved: float
    gradients: int
    temporaries: Linear = NOTHING
    has_head: bool = False


@dataclass(frozen=True)
class Load:
    """The tokens of a forward.

    Args:
        tokens: number of tokens, padding included.
        pairs: pairs of tokens for which sdpa's mask is saved.
        copied: tokens whose keys and values are saved a second time.
        scored: tokens for which the head computes logits.
    """

    tokens: int
    pairs: float
    copied: int
    scored: int

    @classmethod
    def of_rows(cls, tokens: int, rows: int, scored: int) -> Load:
        """Return the load of rows of equal length."""
        return cls(tokens, tokens**2 / rows, 0, scored)

    @classmethod
    def of_groups(cls, groups: int, prompt: int, answer: int, answers: int, is_cut: bool) -> Load:
        """Return the load of groups of answers behind a shared prompt (`rollouts.logprobs.pack`).

        Args:
            groups: number of groups.
            prompt, answer: tokens of a prompt, and of an answer.
            answers: answers of all groups.
            is_cut: whether attention runs document by document. Then each answer sees its prompt and itself alone, and each answer
                after the first of a group copies the keys and values of the prompt before its own.
        """
        tokens = groups * prompt + answers * answer
        seen = (prompt + answer) * tokens if is_cut else tokens**2 / groups
        return cls(tokens, seen, (answers - groups) * (prompt + answer) * is_cut, answers * answer)


@dataclass(frozen=True)
class Costs:
    """Fixed costs of a run on each device, and costs per token.

    Args:
        fixed: bytes by name of the part, held throughout.
        moments: moments of a step at which memory may peak.
        trained: number of trained parameters.
        activation: bytes saved for the backward per token.
        mask: bytes saved per pair of tokens of a row: sdpa's mask, in every layer of every pass.
        states: bytes of keys and values per token, in every layer of every pass that carries gradient.
        is_cut: whether attention runs document by document.
        head: temporaries of the head.
        head_gradient: bytes of the head's weight gradient, which `head` includes.
        gaps: bytes of unused heap per saved byte; None on a GPU, whose allocator reuses gaps.
        forward: floating-point operations of the blocks per token, in the forward.
        backward: floating-point operations of the blocks per token, in the backward with recomputation.
    """

    fixed: dict[str, int]
    moments: tuple[Moment, ...]
    trained: int
    activation: float
    mask: int
    states: int
    is_cut: bool
    head: Head
    head_gradient: int
    gaps: float | None
    forward: float
    backward: float

    def activations(self, load: Load) -> int:
        """Return the bytes saved by the blocks."""
        return round(self.activation * load.tokens + self.mask * load.pairs + self.states * load.copied)

    def largest(self, load: Load) -> tuple[str, dict[str, int]]:
        """Return the moment at which a forward and its backward peak, and the bytes by name of the part.

        On a CPU the heap gives little memory back, so a process ends up with the maximum of each part. On a GPU parts of
        different moments reuse the same memory, so the largest moment counts.
        """
        if self.gaps is not None:
            return "once the heap has its full size", self._heap(load)
        moments = [(moment.name, self._parts(moment, load)) for moment in self.moments]
        return max(moments, key=lambda pair: sum(pair[1].values()))

    def _heap(self, load: Load) -> dict[str, int]:
        assert self.gaps is not None
        activations, last = self.activations(load), self.moments[-1]
        gradients = last.gradients + self.moments[0].gradients  # accumulated ones, and those of this forward
        return {
            "activations": activations,
            "gradients": gradients,
            "head": max(0, self.head.at(load.scored) - self.head_gradient),
            "temporaries": max(moment.temporaries.at(load.tokens) for moment in self.moments),
            "gaps of the heap": max(0, round(self.gaps * activations) - last.gradients),
        }

    def _parts(self, moment: Moment, load: Load) -> dict[str, int]:
        return {
            "activations": round(moment.saved * self.activations(load)),
            "gradients": moment.gradients,
            "head": self.head.at(load.scored) if moment.has_head else 0,
            "temporaries": moment.temporaries.at(load.tokens),
        }


def count(recipe: Recipe, config: HrmTextConfig, processes: int = 1, on_gpu: bool = False) -> Costs:
    """Count the costs of a recipe's model and its training; weights are not sharded (DDP or a single process).

    Args:
        recipe: the parsed recipe.
        config: config of its model.
        processes: number of processes that train together; with several, each holds its gradients twice, to send them.
        on_gpu: whether to count device memory; otherwise the memory of a CPU process.

    Raises:
        UserError: for a quantised base (bitsandbytes defines its size), for eager attention, and for an optimizer whose state
            cannot be counted.
    """
    if recipe.model.load_in_4bit or recipe.model.load_in_8bit:
        raise UserError(
            "the memory of a base in 4 or 8 bits cannot be estimated: to estimate, leave load_in_4bit and load_in_8bit out; to "
            "train, leave auto_batch out."
        )
    if recipe.model.attn_implementation == "eager":
        raise UserError(
            "eager attention keeps all attention scores, whose memory cannot be estimated: set attn_implementation to sdpa or "
            "per_document."
        )
    args, half = recipe.training, computes_in_half_precision(recipe.training)
    dtype, is_adapter = DTYPES[recipe.model.dtype], recipe.lora.use_peft
    bp_steps = horizon_schedule(args, config, 1).max_steps
    is_cut = _is_cut(recipe)
    kind = Kind(half, is_cut, on_gpu, bp_steps, recipe.KIND == "reward", _head_kind(recipe))
    sizes = measure(recipe.model, recipe.lora, config, kind)
    gradients, block = sizes.gradients, sizes.block
    optimizer = optimizer_memory(args, sizes.tensors, on_gpu)
    activation = (sizes.long - sizes.short) / (LENGTHS[1] - LENGTHS[0])
    copies = max(0, round(sizes.short - activation * LENGTHS[0])) if half else 0
    order = _passes_backward(bp_steps, config)
    passes, stack = len(order), int(config.num_layers_per_stack or 0)
    layers = passes * stack
    mask = (HALF if half else dtype.itemsize) * layers
    states = mask * 2 * config.num_attention_heads * config.head_dim
    if args.activation_checkpointing:
        mask, states = mask // layers, states // layers
        inside = activation / layers  # activations of one block, recomputed in the backward
        block = (block[0], Linear(block[1].constant, block[1].per_token + inside))
        activation = config.hidden_size * dtype.itemsize * layers  # only the input of each block is saved
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
    moments = _moments(sizes.by_stack, order, stack, block, gradients if accumulates else 0)
    moments.append(Moment("in the optimizer's step", 0, gradients, Linear(optimizer.temporaries, 0)))
    gaps = None if on_gpu else GAPS_OF_AN_ADAPTER[dtype] if is_adapter else GAPS
    forward, carried = _forward_flops(config, longest(config)), _forward_flops(config, passes)
    # The backward of a matrix product is one product for its input, and one for its weight if that is trained.
    backward = carried * (1 if is_adapter else 2) + (carried if args.activation_checkpointing else 0)
    return Costs(
        fixed,
        tuple(moments),
        sizes.trained,
        activation,
        mask,
        states,
        is_cut,
        sizes.head,
        sizes.by_stack["head"],
        gaps,
        forward,
        backward,
    )


def _head_kind(recipe: Recipe) -> str:
    if not isinstance(recipe, DistillationRecipe):
        return LOGPROBS
    return DIVERGENCE if recipe.training.teacher_base_url is None else TOP_DIVERGENCE


def _is_cut(recipe: Recipe) -> bool:
    """Return whether attention runs document by document; for short rows a mask over the whole row is faster."""
    length = getattr(recipe.training, "max_length", None)
    is_long = length is None or length > DENSE_ROW or bool(getattr(recipe.training, "share_prompts", False))
    return recipe.model.attn_implementation == PER_DOCUMENT and is_long


def _passes_backward(bp_steps: int, config: HrmTextConfig) -> list[str]:
    """Return the stacks (`H` or `L`) of the passes that carry gradient, in the order of the backward."""
    high, low = carrying_passes(bp_steps, config)
    forward = [
        stack
        for cycle, is_carrying in zip(low, high, strict=True)
        for stack in ["L"] * sum(cycle) + ["H"] * is_carrying
    ]
    return forward[::-1]


def _moments(
    by_stack: dict[str, int], order: list[str], stack: int, block: tuple[Linear, Linear], before: int
) -> list[Moment]:
    """Return the moments of a forward and its backward at which memory may peak.

    Args:
        by_stack: bytes of gradients by stack.
        order: stacks of the passes in the order of the backward.
        stack: layers per stack.
        block: temporaries of a block's forward and backward.
        before: bytes of gradients accumulated by earlier forwards of the step.
    """
    forward, backward = block
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
        if before and name not in order[number + 1 :]:  # last use of these weights: added to the accumulated gradient
            gradients -= by_stack[name]
    moments.append(Moment("at the end of the backward", 0, gradients + by_stack["embedding"], NOTHING))
    return moments


def computes_in_half_precision(args: Any) -> bool:
    """Return whether a run autocasts its forward to half precision."""
    return bool(args.bf16 or args.fp16)


def count_stack_weights(config: HrmTextConfig) -> int:
    """Return the weights in one stack's products: query, key, value, gate, output of attention; three of the MLP."""
    attention = 5 * config.hidden_size * config.num_attention_heads * config.head_dim
    return (attention + 3 * config.hidden_size * config.intermediate_size) * int(config.num_layers_per_stack or 0)


def count_weights(config: HrmTextConfig) -> int:
    """Return the number of a model's weights, without allocating them."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in HrmTextForCausalLM(config).parameters())


def _forward_flops(config: HrmTextConfig, passes: int) -> float:
    """Return the floating-point operations of so many stack passes per token: two per weight."""
    return 2.0 * count_stack_weights(config) * passes

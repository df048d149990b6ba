"""What a fine-tuning run will take, before it is started: memory by part, and floating-point operations.

Nothing is loaded. A model of the same config is run on tensors that have a shape and no content, and what autograd would
keep for the backward is added up, at the run's own horizon, adapter and precision.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from transformers import AttentionInterface, AutoModelForCausalLM, HrmTextConfig

from hrm_align.configs import LoraArguments, SFTRecipe
from hrm_align.errors import UserError
from hrm_align.models.horizon import Horizon, carrying_passes, longest
from hrm_align.models.loading import DTYPES
from hrm_align.models.lora import lora_config
from hrm_align.trainers.stabilised import horizon_schedule

GIB = 2**30
COUNTED = "counted"  # the attention that only counts
FLOAT32 = 4
LENGTHS = (128, 256)  # tokens of the two forwards whose difference is what a token costs
HEAD_TOKENS = 32_768  # that TRL's head computes at a time
HEAD_COPIES = 2  # the logits in float32 and their gradient


class _Fused(torch.autograd.Function):
    """Keeps for the backward what the fused kernels keep, and computes nothing."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, output, torch.empty(query.shape[:-1], dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError("what has no content has no gradient")


def _counted_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **_: Any
) -> tuple[Tensor, None]:
    states: tuple[Tensor, ...] = (query, key, value)
    if torch.is_autocast_enabled("cpu"):
        states = tuple(part.to(torch.get_autocast_dtype("cpu")) for part in states)
    return _Fused.apply(*states).transpose(1, 2), None


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device, and operations of a step on it.

    Args:
        fixed: bytes by name, of what does not grow with the batch.
        trained: parameters.
        rows: of a forward.
        forwards: of an optimizer step.
        length: tokens of a row, padding included.
        activation: bytes kept for the backward, for each token.
        logits: bytes of the head, for each token that it computes at a time.
        flops_per_token: floating-point operations, forward and backward.
    """

    fixed: dict[str, int]
    trained: int
    rows: int
    forwards: int
    length: int
    activation: float
    logits: int
    flops_per_token: float

    @property
    def tokens(self) -> int:
        """Of a forward."""
        return self.rows * self.length

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by name."""
        activations, head = round(self.activation * self.tokens), self.logits * min(self.tokens, HEAD_TOKENS)
        return {**self.fixed, "activations": activations, "head": head}

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self.parts.values())

    @property
    def flops(self) -> float:
        """Floating-point operations of an optimizer step."""
        return self.flops_per_token * self.tokens * self.forwards

    def largest_batch(self, memory: int) -> int:
        """Rows of a forward that fit into so many bytes; 0 if not even one does."""
        too_many = int(memory // (self.activation * self.length)) + 1
        return bisect_right(range(1, too_many + 1), memory, key=lambda rows: replace(self, rows=rows).total)


def estimate_sft(recipe: SFTRecipe, config: HrmTextConfig, processes: int = 1) -> Estimate:
    """What a recipe takes on each device (weights are not split: DDP or a single process).

    Args:
        recipe: as parsed.
        config: of its model.
        processes: that train together; of several, each holds its gradients once more to send them.

    Raises:
        UserError: for a quantised base, whose size is bitsandbytes' own, and for eager attention.
    """
    if recipe.model.load_in_4bit or recipe.model.load_in_8bit:
        raise UserError(
            "a base in 4 or 8 bits is not counted: leave load_in_4bit and load_in_8bit out to estimate the same on a whole "
            "base, and auto_batch out to train."
        )
    if recipe.model.attn_implementation == "eager":
        raise UserError("eager attention keeps all its scores, which are not counted: use sdpa or per_document.")
    args, half = recipe.training, bool(recipe.training.bf16 or recipe.training.fp16)
    bp_steps = horizon_schedule(args, config, 1).max_steps
    with FakeTensorMode():
        model = _model(recipe, config)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        whole, gradients = sum(p.nbytes for p in model.parameters()), sum(p.nbytes for p in trained)
        count = sum(parameter.numel() for parameter in trained)
        Horizon(model, bp_steps)
        short, long = (_kept(model, length, half) for length in LENGTHS)
    activation = (long - short) / (LENGTHS[1] - LENGTHS[0])
    copies = max(0, round(short - activation * LENGTHS[0])) if half else 0
    high, low = carrying_passes(bp_steps, config)
    passes = sum(high) + sum(map(sum, low))
    if args.activation_checkpointing:
        layers = passes * int(config.num_layers_per_stack or 0)
        activation = config.hidden_size * FLOAT32 * layers + activation / layers  # inputs of all, the inside of one
    fixed = {
        "weights": whole,
        "gradients": gradients * (1 if processes == 1 else 2),
        "optimizer": 2 * gradients,
        "average": gradients if args.ema_decay is not None else 0,
        "half-precision copies": copies,
    }
    flops = _flops(config, passes, recipe.lora.use_peft)
    if args.activation_checkpointing:
        flops += _flops(config, 0, True) * passes / longest(config)  # those passes once more
    return Estimate(
        fixed,
        count,
        args.per_device_train_batch_size,
        args.gradient_accumulation_steps,
        int(args.max_length or 0),
        activation,
        HEAD_COPIES * FLOAT32 * config.vocab_size,
        flops,
    )


def _model(recipe: SFTRecipe, config: HrmTextConfig) -> Any:
    """The model with its adapter; under `FakeTensorMode`, its weights have a shape and no content."""
    dtype = DTYPES[recipe.model.dtype]
    with torch.device("meta"), unset_fake_temporarily():  # PEFT cannot move fake layers
        AttentionInterface.register(COUNTED, _counted_attention)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=COUNTED)
        if recipe.lora.use_peft:
            keys = {**vars(recipe.lora), "init_lora_weights": "true"}  # the others look at the weights
            model = get_peft_model(model, lora_config(model, LoraArguments(**keys)), autocast_adapter_dtype=False)
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                of_adapter = recipe.lora.use_peft and weight.requires_grad
                empty = torch.empty(weight.shape, dtype=DTYPES[recipe.lora.lora_dtype] if of_adapter else weight.dtype)
                module._parameters[name] = nn.Parameter(empty, requires_grad=weight.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype)
    return model


def _kept(model: Any, length: int, half: bool) -> int:
    """Bytes that a forward of the backbone on a row of so many tokens keeps, parameters left out."""
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, tuple[int, Any]] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            kept[storage._cdata] = (storage.nbytes(), storage)  # held, or its number would be used again
        return tensor

    ids = torch.zeros(1, length, dtype=torch.long)
    mask = torch.zeros(1, 1, length, length, dtype=torch.bool)  # of four dimensions: taken as given
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        _output = model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return sum(size for size, _ in kept.values())


def _flops(config: HrmTextConfig, passes: int, adapter: bool) -> float:
    """Of a token: the forward of all stack passes, and the backward of those that carry gradient.

    A product forward is two operations a weight; backward as many for its input, and again for the weight if that is trained.
    """
    attention = 5 * config.hidden_size * config.num_attention_heads * config.head_dim
    stack = (attention + 3 * config.hidden_size * config.intermediate_size) * int(config.num_layers_per_stack or 0)
    forward = 2 * stack * config.H_cycles * (config.L_cycles + 1)
    return forward + 2 * stack * passes * (1 if adapter else 2)

"""A model that has a shape and no content, and what autograd would keep of its forward for the backward."""

from __future__ import annotations

from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from transformers import AttentionInterface, AutoModelForCausalLM, HrmTextConfig

from hrm_align.configs import LoraArguments, ModelArguments
from hrm_align.models.horizon import backbone_of
from hrm_align.models.loading import DTYPES
from hrm_align.models.lora import lora_config

COUNTED = "counted"  # the attention that only counts


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


def empty_model(asked: ModelArguments, adapter: LoraArguments, config: HrmTextConfig) -> Any:
    """The model with its adapter; under `FakeTensorMode`, its weights have a shape and no content."""
    dtype = DTYPES[asked.dtype]
    with torch.device("meta"), unset_fake_temporarily():  # PEFT cannot move fake layers
        AttentionInterface.register(COUNTED, _counted_attention)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=COUNTED)
        if adapter.use_peft:
            keys = {**vars(adapter), "init_lora_weights": "true"}  # the others look at the weights
            model = get_peft_model(model, lora_config(model, LoraArguments(**keys)), autocast_adapter_dtype=False)
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                of_adapter = adapter.use_peft and weight.requires_grad
                empty = torch.empty(weight.shape, dtype=DTYPES[adapter.lora_dtype] if of_adapter else weight.dtype)
                module._parameters[name] = nn.Parameter(empty, requires_grad=weight.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype)
    return model


def kept(model: Any, length: int, half: bool) -> int:
    """Bytes that a forward of the backbone on a row of so many tokens keeps, parameters left out.

    Where all layers of a stack are alike, the first two of each are run, and say what the others keep.
    """
    backbone = backbone_of(model)
    stacks = (backbone.H_module, backbone.L_module)
    whole = [stack.layers for stack in stacks]
    if not all(_are_alike(layers) for layers in whole):
        return _kept(model, length, half)
    sizes = []
    try:
        for number in (1, 2):
            for stack, layers in zip(stacks, whole, strict=True):
                stack.layers = layers[:number]
            sizes.append(_kept(model, length, half))
    finally:
        for stack, layers in zip(stacks, whole, strict=True):
            stack.layers = layers
    one, two = sizes
    return one + (two - one) * (len(whole[0]) - 1)


def _are_alike(layers: nn.ModuleList) -> bool:
    """Whether there are several, of the same weights, trained or not."""
    found = {
        tuple((name, weight.shape, weight.dtype, weight.requires_grad) for name, weight in layer.named_parameters())
        for layer in layers
    }
    return len(layers) > 1 and len(found) == 1


def _kept(model: Any, length: int, half: bool) -> int:
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    found: dict[int, tuple[int, Any]] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            found[storage._cdata] = (storage.nbytes(), storage)  # held, or its number would be used again
        return tensor

    ids = torch.zeros(1, length, dtype=torch.long)
    mask = torch.zeros(1, 1, length, length, dtype=torch.bool)  # of four dimensions: taken as given
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        _output = model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return sum(size for size, _ in found.values())

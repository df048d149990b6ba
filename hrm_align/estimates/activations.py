"""A model that has a shape and no content, and what autograd would keep of its forward for the backward.

`Live` counts the bytes of tensors that are held at a time while operations run on such tensors.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface, AutoModelForCausalLM, HrmTextConfig
from trl.kernels import ChunkedLogProbFunction
from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.models.loading import DTYPES
from hrm_align.models.lora import lora_config
from hrm_align.models.recurrence import backbone_of

COUNTED = "counted"  # the attention that only counts
COUNTED_BY_DOCUMENT = "counted_by_document"  # which puts the outputs of all documents together

BLOCK_TOKENS = (1024, 2048)  # of the two blocks whose difference is what a token takes for a moment
VOCAB_CHUNK = 32_768  # logits of a token that TRL's head computes at a time, of TOKEN_CHUNK_SIZE tokens


class Live(TorchDispatchMode):
    """A context in which the storages that operations make are counted until they are freed.

    Args:
        known: tensors that were there before and are not counted.

    Attributes:
        now: bytes that are held.
        peak: the most that were held at a time; set it to `now` to measure a part by itself.
    """

    def __init__(self, known: Iterable[Tensor] = ()):
        super().__init__()
        self.now = self.peak = 0
        self._known = [tensor.untyped_storage() for tensor in known]  # held, or their numbers would be used again
        self._seen = {storage._cdata for storage in self._known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it makes."""
        before = {t.untyped_storage()._cdata for t in _pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        output = function(*args, **(kwargs or {}))
        for tensor in _pytree.tree_leaves(output):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            number, size = storage._cdata, storage.nbytes()
            if number in self._seen or number in before:
                continue
            self._seen.add(number)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, number, size)
        return output

    def _free(self, number: int, size: int) -> None:
        self._seen.discard(number)
        self.now -= size


class _Fused(torch.autograd.Function):
    """Keeps for the backward what the fused kernels keep, makes gradients of the same size, and computes nothing."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, output, torch.empty(query.shape[:-1], dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return tuple(torch.empty_like(states) for states in ctx.saved_tensors[:3])


def _counted_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **_: Any
) -> tuple[Tensor, None]:
    states: tuple[Tensor, ...] = (query, key, value)
    if torch.is_autocast_enabled("cpu"):
        states = tuple(part.to(torch.get_autocast_dtype("cpu")) for part in states)
    return _Fused.apply(*states).transpose(1, 2), None


def _counted_by_document(*args: Any, **keywords: Any) -> tuple[Tensor, None]:
    output, _ = _counted_attention(*args, **keywords)
    return torch.cat([output], dim=1).clone(), None


def empty_model(asked: ModelArguments, adapter: LoraArguments, config: HrmTextConfig, by_document: bool = False) -> Any:
    """The model with its adapter; under `FakeTensorMode`, its weights have a shape and no content.

    Args:
        asked: the model.
        adapter: around it.
        config: of the model.
        by_document: whether attention is cut into documents.
    """
    dtype = DTYPES[asked.dtype]
    with torch.device("meta"), unset_fake_temporarily():  # PEFT cannot move fake layers
        AttentionInterface.register(COUNTED, _counted_attention)
        AttentionInterface.register(COUNTED_BY_DOCUMENT, _counted_by_document)
        attention = COUNTED_BY_DOCUMENT if by_document else COUNTED
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
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


@dataclass(frozen=True)
class Linear:
    """Bytes that grow with the tokens of a forward."""

    constant: int
    per_token: float

    def at(self, tokens: int) -> int:
        """Of so many tokens; never less than none."""
        return max(0, round(self.constant + self.per_token * tokens))

    @classmethod
    def through(cls, sizes: Mapping[int, int]) -> Linear:
        """The line through two sizes, by their tokens."""
        (short, low), (long, high) = sorted(sizes.items())
        slope = (high - low) / (long - short)
        return cls(round(low - slope * short), slope)


NOTHING = Linear(0, 0)


def block_temporaries(model: Any, half: bool) -> tuple[Linear, Linear]:
    """What a block takes at most beyond what it keeps, in its forward and in its backward; gradients of weights left out."""
    found = {tokens: _block_temporaries(model, tokens, half) for tokens in BLOCK_TOKENS}
    forward, backward = (Linear.through({tokens: sizes[part] for tokens, sizes in found.items()}) for part in (0, 1))
    return forward, backward


def _block_temporaries(model: Any, tokens: int, half: bool) -> tuple[int, int]:
    backbone = backbone_of(model)
    block, dtype = backbone.L_module.layers[0], backbone.embed_tokens.weight.dtype
    hidden = torch.empty(1, tokens, backbone.config.hidden_size, dtype=dtype, requires_grad=True)
    positions = backbone.rotary_emb(hidden.detach(), torch.zeros(1, tokens, dtype=torch.long))
    with Live([*model.parameters(), hidden, *positions]) as live:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = block(hidden, attention_mask=None, position_embeddings=positions)
        kept = live.now
        forward = live.peak - kept
        live.peak = live.now
        output.backward(torch.empty_like(output))
    for weight in block.parameters():
        weight.grad = None
    return forward, live.peak - kept


def head_temporaries(config: HrmTextConfig, dtype: torch.dtype, half: bool, is_trained: bool) -> tuple[Linear, Linear]:
    """What TRL's head takes where PyTorch folds its tiles, as on a CPU: up to a tile's tokens, and for each one beyond."""
    vocab, tile = config.vocab_size, TOKEN_CHUNK_SIZE
    weight = torch.empty(vocab, config.hidden_size, dtype=dtype, requires_grad=is_trained)

    def taken(tokens: int) -> int:
        hidden = torch.empty(tokens, config.hidden_size, dtype=dtype, requires_grad=True)
        targets = torch.zeros(tokens, dtype=torch.long)
        # A tile is as wide as VOCAB_CHUNK whatever the vocabulary; what no logit is written to never becomes resident.
        width = min(vocab, VOCAB_CHUNK)
        with Live([weight, hidden, targets]) as live, torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = ChunkedLogProbFunction.apply(
                hidden, weight, None, targets, 1.0, width, None, 1.0, ("log_probs", "entropy", "is_top1")
            )
            outputs[0].sum().backward()
        weight.grad = None
        return live.peak

    sizes = {tokens: taken(tokens) for tokens in (tile // 2, tile, 2 * tile)}
    beyond = (sizes[2 * tile] - sizes[tile]) / tile
    return Linear.through({tile // 2: sizes[tile // 2], tile: sizes[tile]}), Linear(0, beyond)


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

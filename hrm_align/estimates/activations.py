"""Count the memory of a forward and its backward on fake tensors, which have a shape but no data.

`Live` counts the bytes of tensors that are alive at the same time while operations run.
"""

from __future__ import annotations

import copy
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
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    HrmTextConfig,
)
from trl.kernels import ChunkedLogProbFunction
from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.models.loading import DTYPES
from hrm_align.models.lora import lora_config
from hrm_align.models.recurrence import get_backbone
from hrm_align.trainers.teachers import TOP_CHUNK, top_divergence_in_chunks, whole_divergence

COUNTED = "counted"  # attention that computes nothing but saves what the fused kernels save
COUNTED_BY_DOCUMENT = "counted_by_document"  # the same, with a copy that concatenates the outputs of all documents

BLOCK_TOKENS = (1024, 2048)  # row lengths of two block runs, from which the temporaries per token are computed
VOCAB_CHUNK = 32_768  # width of the tile of logits in TRL's head; its height is TOKEN_CHUNK_SIZE tokens


class Live(TorchDispatchMode):
    """Context that counts the bytes of storages created by operations, until they are freed.

    Args:
        known: existing tensors, which are not counted.

    Attributes:
        now: bytes alive now.
        peak: largest number of bytes alive at the same time; set it to `now` to measure a part by itself.
    """

    def __init__(self, known: Iterable[Tensor] = ()):
        super().__init__()
        self.now = self.peak = 0
        self._known = [tensor.untyped_storage() for tensor in known]  # kept alive, so that their ids are not reused
        self._seen = {storage._cdata for storage in self._known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count the storages it creates."""
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
    """Attention that saves what the fused kernels save for the backward and returns gradients of the same size."""

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


def empty_model(
    arguments: ModelArguments,
    adapter: LoraArguments,
    config: HrmTextConfig,
    by_document: bool = False,
    scores: bool = False,
) -> Any:
    """Build the model with its adapter, without data in its weights; call it under `FakeTensorMode`.

    Args:
        arguments: model settings.
        adapter: adapter settings.
        config: config of the model.
        by_document: whether attention runs document by document.
        scores: whether it is a reward model.
    """
    dtype = DTYPES[arguments.dtype]
    with torch.device("meta"), unset_fake_temporarily():  # PEFT cannot move fake layers between devices
        AttentionInterface.register(COUNTED, _counted_attention)
        AttentionInterface.register(COUNTED_BY_DOCUMENT, _counted_by_document)
        attention = COUNTED_BY_DOCUMENT if by_document else COUNTED
        kind: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
        if scores:
            config = copy.deepcopy(config)
            config.num_labels = 1
        model: Any = kind.from_config(config, dtype=dtype, attn_implementation=attention)
        if adapter.use_peft:
            keys = {**vars(adapter), "init_lora_weights": "true"}  # other initialisations read the base weights
            model = get_peft_model(model, lora_config(model, LoraArguments(**keys)), autocast_adapter_dtype=False)
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                is_adapter = adapter.use_peft and weight.requires_grad
                empty = torch.empty(weight.shape, dtype=DTYPES[adapter.lora_dtype] if is_adapter else weight.dtype)
                module._parameters[name] = nn.Parameter(empty, requires_grad=weight.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype)
    return model


def saved_bytes(model: Any, length: int, half: bool) -> int:
    """Return the bytes that a backbone forward over a row of `length` tokens saves for the backward, without parameters.

    If all layers of a stack are alike, only one and two layers of each stack are run, and the rest is extrapolated.
    """
    backbone = get_backbone(model)
    stacks = (backbone.H_module, backbone.L_module)
    whole = [stack.layers for stack in stacks]
    if not all(_are_alike(layers) for layers in whole):
        return _count_saved(model, length, half)
    sizes = []
    try:
        for number in (1, 2):
            for stack, layers in zip(stacks, whole, strict=True):
                stack.layers = layers[:number]
            sizes.append(_count_saved(model, length, half))
    finally:
        for stack, layers in zip(stacks, whole, strict=True):
            stack.layers = layers
    one, two = sizes
    return one + (two - one) * (len(whole[0]) - 1)


@dataclass(frozen=True)
class Linear:
    """Bytes as a linear function of the tokens of a forward."""

    constant: int
    per_token: float

    def at(self, tokens: int) -> int:
        """Return the bytes for so many tokens, at least 0."""
        return max(0, round(self.constant + self.per_token * tokens))

    @classmethod
    def through(cls, sizes: Mapping[int, int]) -> Linear:
        """Return the line through two points {tokens: bytes}."""
        (short, low), (long, high) = sorted(sizes.items())
        slope = (high - low) / (long - short)
        return cls(round(low - slope * short), slope)


NOTHING = Linear(0, 0)


def block_temporaries(model: Any, half: bool) -> tuple[Linear, Linear]:
    """Return the peak bytes of a block's forward, and of its backward, beyond what is saved; without weight gradients."""
    measured = {tokens: _block_temporaries(model, tokens, half) for tokens in BLOCK_TOKENS}
    forward = Linear.through({tokens: sizes[0] for tokens, sizes in measured.items()})
    backward = Linear.through({tokens: sizes[1] for tokens, sizes in measured.items()})
    return forward, backward


def _block_temporaries(model: Any, tokens: int, half: bool) -> tuple[int, int]:
    backbone = get_backbone(model)
    block, dtype = backbone.L_module.layers[0], backbone.embed_tokens.weight.dtype
    # hidden: (1, tokens, hidden_size)
    hidden = torch.empty(1, tokens, backbone.config.hidden_size, dtype=dtype, requires_grad=True)
    positions = backbone.rotary_emb(hidden.detach(), torch.zeros(1, tokens, dtype=torch.long))
    with Live([*model.parameters(), hidden, *positions]) as live:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = block(hidden, attention_mask=None, position_embeddings=positions)
        saved = live.now
        forward = live.peak - saved
        live.peak = live.now
        output.backward(torch.empty_like(output))
    for weight in block.parameters():
        weight.grad = None
    return forward, live.peak - saved


def forward_temporaries(model: Any) -> Linear:
    """Return the peak bytes of a backbone forward without gradient, by its number of tokens; without the mask."""
    backbone, sizes = get_backbone(model), {}
    stacks = (backbone.H_module, backbone.L_module)
    whole = [stack.layers for stack in stacks]
    try:
        for stack, layers in zip(stacks, whole, strict=True):
            stack.layers = layers[:1]  # nothing of a layer is left for the next one
        for tokens in BLOCK_TOKENS:
            ids = torch.zeros(1, tokens, dtype=torch.long)
            mask = torch.zeros(1, 1, tokens, tokens, dtype=torch.bool)  # a 4-D mask is used as it is
            with torch.no_grad(), Live([*model.parameters(), *model.buffers(), mask]) as live:
                _output = backbone(input_ids=ids, attention_mask=mask, use_cache=False)
            sizes[tokens] = live.peak
    finally:
        for stack, layers in zip(stacks, whole, strict=True):
            stack.layers = layers
    return Linear.through(sizes)


# Heads whose temporaries are measured, by what the loss computes of logits, and the tokens of one tile of them.
LOGPROBS, DIVERGENCE, TOP_DIVERGENCE = "log-probabilities", "divergence from a teacher", "divergence from top tokens"
TILES = {LOGPROBS: TOKEN_CHUNK_SIZE, DIVERGENCE: TOKEN_CHUNK_SIZE, TOP_DIVERGENCE: TOP_CHUNK}
TOP_TOKENS = 20  # that a server returns; more take little memory


def head_temporaries(
    config: HrmTextConfig, dtype: torch.dtype, half: bool, is_trained: bool, kind: str = LOGPROBS
) -> tuple[Linear, Linear]:
    """Return the bytes of a head of `TILES` on a CPU: for up to one tile of tokens, and for each token beyond the tile."""
    vocab, tile = config.vocab_size, TILES[kind]
    weight = torch.empty(vocab, config.hidden_size, dtype=dtype, requires_grad=is_trained)

    def measure_peak(tokens: int) -> int:
        hidden = torch.empty(tokens, config.hidden_size, dtype=dtype, requires_grad=True)
        other = torch.empty(tokens, config.hidden_size, dtype=dtype)
        targets = torch.zeros(tokens, dtype=torch.long)
        top = torch.zeros(tokens, TOP_TOKENS, dtype=torch.long), torch.empty(tokens, TOP_TOKENS)
        # The tile has VOCAB_CHUNK columns, but columns without a logit never become resident memory.
        width = min(vocab, VOCAB_CHUNK)
        unused = (
            0 if kind != DIVERGENCE else 2 * 4 * min(tokens, tile) * (VOCAB_CHUNK - width)
        )  # of two tiles in float32
        known = [weight, hidden, other, targets, *top]
        with Live(known) as live, torch.autocast("cpu", torch.bfloat16, enabled=half):
            if kind == LOGPROBS:
                names = ("log_probs", "entropy", "is_top1")
                outputs = ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, width, None, 1.0, names)
            elif kind == DIVERGENCE:
                outputs = whole_divergence(hidden, weight, other, weight.detach(), 0.5, 1.0)
            else:
                outputs = top_divergence_in_chunks(hidden, weight, *top, 0.5)
            outputs[0].sum().backward()
        weight.grad = None
        return live.peak - unused

    sizes = {tokens: measure_peak(tokens) for tokens in (tile // 2, tile, 2 * tile)}
    beyond = (sizes[2 * tile] - sizes[tile]) / tile
    return Linear.through({tile // 2: sizes[tile // 2], tile: sizes[tile]}), Linear(0, beyond)


def _are_alike(layers: nn.ModuleList) -> bool:
    """Return whether there are at least two layers, all with the same weights by shape, type and requires_grad."""
    signatures = {
        tuple((name, weight.shape, weight.dtype, weight.requires_grad) for name, weight in layer.named_parameters())
        for layer in layers
    }
    return len(layers) > 1 and len(signatures) == 1


def _count_saved(model: Any, length: int, half: bool) -> int:
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    saved: dict[int, tuple[int, Any]] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            saved[storage._cdata] = (storage.nbytes(), storage)  # kept alive, so that its id is not reused
        return tensor

    ids = torch.zeros(1, length, dtype=torch.long)
    mask = torch.zeros(1, 1, length, length, dtype=torch.bool)  # a 4-D mask is used as it is
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        _output = model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return sum(size for size, _ in saved.values())

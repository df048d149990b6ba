"""Measure the bytes of a model and of each token of a forward, once for each kind of model, on fake tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import HrmTextConfig

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.estimates.activations import (
    DIVERGENCE,
    LOGPROBS,
    NOTHING,
    TILES,
    TOKEN_CHUNK_SIZE,
    TOP_DIVERGENCE,
    VOCAB_CHUNK,
    Linear,
    block_temporaries,
    empty_model,
    head_temporaries,
    saved_bytes,
)
from hrm_align.models.loading import DTYPES
from hrm_align.models.recurrence import Horizon
from hrm_align.models.reward_model import SCORE

FLOAT32 = 4
HALF = 2  # bytes of a number in bfloat16 and float16
LENGTHS = (128, 256)  # row lengths of two forwards, from which the bytes per token are computed


@dataclass(frozen=True)
class Head:
    """Bytes of the language model head while its gradient is computed.

    Args:
        tile: for the tokens of one tile of logits.
        beyond: for each token beyond the tile.
        tokens: tokens of one tile.
    """

    tile: Linear
    beyond: Linear
    tokens: int = TOKEN_CHUNK_SIZE

    def at(self, tokens: int) -> int:
        """Return the bytes for a forward of so many tokens."""
        return self.tile.at(min(tokens, self.tokens)) + self.beyond.at(max(0, tokens - self.tokens))


@dataclass(frozen=True)
class Kind:
    """How a model is run.

    Args:
        half: whether the forward autocasts to half precision.
        is_cut: whether attention runs document by document.
        on_gpu: whether the model runs on a GPU.
        bp_steps: the backward horizon.
        scores: whether it is a reward model, whose head takes no memory to speak of.
        head: what the loss computes of logits, one of `activations.TILES`.
    """

    half: bool
    is_cut: bool
    on_gpu: bool
    bp_steps: int
    scores: bool = False
    head: str = LOGPROBS


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model, in bytes except for `trained` and `tensors`.

    Args:
        weights: all weights.
        gradients: gradients of all trained weights.
        trained: number of trained parameters.
        tensors: number of trained tensors by shape, type, and whether the tensor is an embedding.
        by_stack: gradients of `H`, `L`, `head`, and `embedding` (everything before the stacks).
        block: temporaries of a block's forward and of its backward.
        head: temporaries of the head.
        short, long: bytes saved for the backward by forwards of `LENGTHS` tokens.
    """

    weights: int
    gradients: int
    trained: int
    tensors: Counter[tuple[tuple[int, ...], torch.dtype, bool]]
    by_stack: dict[str, int]
    block: tuple[Linear, Linear]
    head: Head
    short: int
    long: int


_measured: dict[Any, Sizes] = {}


def measure(arguments: ModelArguments, adapter: LoraArguments, config: HrmTextConfig, kind: Kind) -> Sizes:
    """Measure a model with its adapter; results are cached.

    Args:
        arguments: model settings; `dtype` is used.
        adapter: adapter settings.
        config: config of the model.
        kind: how the model is run.
    """
    key = (arguments.dtype, repr(adapter), config.to_json_string(), kind)
    if key not in _measured:
        with FakeTensorMode():
            model = empty_model(arguments, adapter, config, kind.is_cut, kind.scores)
            _measured[key] = _sizes(model, DTYPES[arguments.dtype], kind)
    return _measured[key]


def _sizes(model: Any, dtype: torch.dtype, kind: Kind) -> Sizes:
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    block = block_temporaries(model, kind.half)
    head = Head(NOTHING, NOTHING)
    if not kind.scores:
        head = _head(model, model.config, dtype, kind)
    Horizon(model, kind.bp_steps)
    short, long = (saved_bytes(model, length, kind.half) for length in LENGTHS)
    return Sizes(
        sum(weight.nbytes for weight in model.parameters()),
        sum(weight.nbytes for weight in trained),
        sum(weight.numel() for weight in trained),
        Counter((tuple(weight.shape), weight.dtype, id(weight) in embeddings) for weight in trained),
        _gradients_by_stack(model),
        block,
        head,
        short,
        long,
    )


def _gradients_by_stack(model: Any) -> dict[str, int]:
    """Return the gradient bytes of the stacks `H` and `L`, of the head, and of the embedding before the stacks."""
    sizes = {"H": 0, "L": 0, "head": 0, "embedding": 0}
    parts = {"H_module": "H", "L_module": "L", "lm_head": "head", SCORE: "head"}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            stack = next((own for part, own in parts.items() if part in name.split(".")), "embedding")
            sizes[stack] += weight.nbytes
    return sizes


def _head(model: Any, config: HrmTextConfig, dtype: torch.dtype, kind: Kind) -> Head:
    """Return the bytes of the head: the tile of logits, gradients of hidden states and, if trained, of its weight."""
    is_trained = any(part.requires_grad for part in model.get_output_embeddings().parameters())
    if not kind.on_gpu or kind.head == TOP_DIVERGENCE:  # operations of PyTorch on every device
        return Head(*head_temporaries(config, dtype, kind.half, is_trained, kind.head), TILES[kind.head])
    size, vocab = HALF if kind.half else dtype.itemsize, config.vocab_size
    weight_gradient = FLOAT32 * vocab * config.hidden_size if is_trained else 0
    row, logit = FLOAT32 * config.hidden_size, size
    if kind.head == DIVERGENCE:
        logit = 2 * FLOAT32  # of student and teacher
    # Triton writes the gradients over the logits.
    return Head(Linear(weight_gradient, VOCAB_CHUNK * logit + row), Linear(0, row))

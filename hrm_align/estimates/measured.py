"""The sizes of a model and of what a token makes of it, measured once for each shape on tensors without content."""

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
    TOKEN_CHUNK_SIZE,
    VOCAB_CHUNK,
    Linear,
    block_temporaries,
    empty_model,
    head_temporaries,
    kept,
)
from hrm_align.models.loading import DTYPES
from hrm_align.models.recurrence import Horizon

FLOAT32 = 4
HALF = 2  # bytes of a number in bfloat16 and float16
LENGTHS = (128, 256)  # tokens of the two forwards whose difference is what a token costs


@dataclass(frozen=True)
class Head:
    """Bytes that the head takes while its gradient is computed.

    Args:
        tile: for the tokens that are computed at a time.
        beyond: for each token.
    """

    tile: Linear
    beyond: Linear

    def at(self, tokens: int) -> int:
        """For so many tokens of a forward."""
        return self.tile.at(min(tokens, TOKEN_CHUNK_SIZE)) + self.beyond.at(max(0, tokens - TOKEN_CHUNK_SIZE))


@dataclass(frozen=True)
class Kind:
    """How a model is run.

    Args:
        half: whether its forward autocasts.
        is_cut: whether attention is cut into documents.
        on_gpu: where it is run.
        bp_steps: the horizon.
    """

    half: bool
    is_cut: bool
    on_gpu: bool
    bp_steps: int


@dataclass(frozen=True)
class Sizes:
    """Bytes, but for `trained`.

    Args:
        weights: of all.
        gradients: of all that are trained.
        trained: parameters.
        tensors: of the trained weights, how many there are of a shape, a type, and as embeddings.
        by_stack: of the gradients: `H`, `L`, `head`, and `embedding` for what stands before the stacks.
        of_block: temporaries of a block's forward and of its backward.
        of_head: what the head takes.
        short, long: kept for the backward by a forward of so many tokens as `LENGTHS` says.
    """

    weights: int
    gradients: int
    trained: int
    tensors: Counter[tuple[tuple[int, ...], torch.dtype, bool]]
    by_stack: dict[str, int]
    of_block: tuple[Linear, Linear]
    of_head: Head
    short: int
    long: int


_measured: dict[Any, Sizes] = {}


def measure(asked: ModelArguments, adapter: LoraArguments, config: HrmTextConfig, kind: Kind) -> Sizes:
    """The sizes of a model with its adapter; those of one that has been measured before are remembered.

    Args:
        asked: the model's precision.
        adapter: around it, if it is to have one.
        config: of the model.
        kind: how it is run.
    """
    key = (asked.dtype, repr(adapter), config.to_json_string(), kind)
    if key not in _measured:
        with FakeTensorMode():
            _measured[key] = _sizes(empty_model(asked, adapter, config, kind.is_cut), DTYPES[asked.dtype], kind)
    return _measured[key]


def _sizes(model: Any, dtype: torch.dtype, kind: Kind) -> Sizes:
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    of_block = block_temporaries(model, kind.half)
    of_head = _head(model, model.config, dtype, kind.half, kind.on_gpu)
    Horizon(model, kind.bp_steps)
    short, long = (kept(model, length, kind.half) for length in LENGTHS)
    return Sizes(
        sum(weight.nbytes for weight in model.parameters()),
        sum(weight.nbytes for weight in trained),
        sum(weight.numel() for weight in trained),
        Counter((tuple(weight.shape), weight.dtype, id(weight) in embeddings) for weight in trained),
        _gradients_by_stack(model),
        of_block,
        of_head,
        short,
        long,
    )


def _gradients_by_stack(model: Any) -> dict[str, int]:
    """Bytes of the gradients of both stacks, `H` and `L`, and of what stands before and behind them."""
    sizes = {"H": 0, "L": 0, "head": 0, "embedding": 0}
    parts = {"H_module": "H", "L_module": "L", "lm_head": "head"}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            stack = next((own for part, own in parts.items() if part in name.split(".")), "embedding")
            sizes[stack] += weight.nbytes
    return sizes


def _head(model: Any, config: HrmTextConfig, dtype: torch.dtype, half: bool, on_gpu: bool) -> Head:
    """What the head takes: the tile of logits, the gradients of hidden states and, where it is trained, of its weight."""
    is_trained = any(part.requires_grad for part in model.get_output_embeddings().parameters())
    if not on_gpu:
        return Head(*head_temporaries(config, dtype, half, is_trained))
    size, vocab = HALF if half else dtype.itemsize, config.vocab_size
    of_weight = FLOAT32 * vocab * config.hidden_size if is_trained else 0
    row = FLOAT32 * config.hidden_size
    return Head(Linear(of_weight, VOCAB_CHUNK * size + row), Linear(0, row))  # Triton writes gradients over the logits

"""The output head on response tokens alone, where TRL's fused head would score every token of a batch.

TRL leaves the others out on Triton devices only. Here the hidden states before the scored tokens are gathered behind the
backbone, so that neither head nor softmax is computed for prompts and padding, and several answers may follow one token.

`AdaptedHead` shows the fused head an adapter of the output embedding.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, cast

from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

IGNORED = -100  # PyTorch's ignore_index


def score_responses_only(model: PreTrainedModel) -> None:
    """Let the fused head of a model score labelled tokens alone.

    `model(..., labels=labels, fused_lm_head=True)` gives what it gave before, whatever the device. It may also be called
    with `targets`, the labels (answers, tokens) of what is to be scored, -100 elsewhere, and `tokens_to_score`, for each of
    them the place of the token before it, counted through all rows of `input_ids`; the results have the shape of `targets`.

    Args:
        model: with a fused head (`trl.trainer.utils.add_fused_lm_head`).
    """
    whole = model.forward

    @functools.wraps(type(model).forward)
    def forward(
        self: PreTrainedModel,
        *args: Any,
        fused_lm_head: bool = False,
        labels: Tensor | None = None,
        targets: Tensor | None = None,
        tokens_to_score: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head or (labels is None and targets is None):
            return whole(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        if targets is None:
            assert labels is not None
            targets = labels[:, 1:]
            rows, columns = (targets != IGNORED).nonzero(as_tuple=True)
            tokens_to_score = rows * labels.shape[1] + columns
        scored = targets != IGNORED
        output = whole(
            *args,
            fused_lm_head=True,
            shift_labels=targets[scored][None],
            tokens_to_score=tokens_to_score,
            **kwargs,
        )
        for name in ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1"):
            if (values := getattr(output, name)) is not None:  # scattered: connected even where nothing is scored
                setattr(output, name, values.new_zeros(scored.shape).masked_scatter(scored, values))
        output.label_mask = scored
        return output

    model.forward = MethodType(forward, model)


class AdaptedHead:
    """The output embedding as TRL's fused head reads it: its weight with the adapter's delta, differentiable.

    TRL multiplies by `get_output_embeddings().weight` and never calls the layer, so that an adapter of the head would be
    neither used nor trained; it refuses one for that. LoRA's dropout does not reach the head on this way.
    """

    bias = None  # HRM-Text's head has none

    def __init__(self, layer: Any):
        self._layer = layer  # what PEFT has put in the place of the head

    @property
    def weight(self) -> Tensor:
        """(vocab, hidden)."""
        layer = self._layer
        if not isinstance(layer, LoraLayer):  # trainable tokens: PEFT's wrapper gives the whole weight
            return cast(Tensor, layer.weight)
        weight: Tensor = layer.base_layer.weight  # type: ignore[assignment]
        if layer.disable_adapters or layer.merged:
            return weight
        for name in layer.active_adapters:
            if name in layer.lora_A:
                weight = weight + self._layer.get_delta_weight(name).to(weight.dtype)
        return weight

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., hidden)."""
        return cast(Tensor, self._layer(hidden))


@contextmanager
def head_as_a_layer(model: Any) -> Iterator[None]:
    """Inside, `get_output_embeddings` gives the adapted layer again: accelerate shards it, and it must be a module."""
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    exposed = vars(base).pop("get_output_embeddings", None)
    try:
        yield
    finally:
        if exposed is not None:
            base.get_output_embeddings = exposed


def head_layer(model: Any) -> nn.Module:
    """The module that holds the weights of the head, its adapter's among them."""
    with head_as_a_layer(model):
        layer: nn.Module = model.get_output_embeddings()
    return layer


def expose_adapted_head(model: Any) -> None:
    """Let trainers with a fused head train an adapter of the head; another model stays as it is."""
    if isinstance(model, PeftModel) and type(head := model.get_output_embeddings()) is not nn.Linear:
        view, base = AdaptedHead(head), cast(Any, model.get_base_model())
        base.get_output_embeddings = lambda: view

"""Output head on response tokens only, where TRL's fused head computes logits for every token of a batch.

TRL skips prompt tokens on Triton devices only. Here the hidden states that predict scored tokens are gathered after the
backbone, so that neither head nor softmax is computed for prompts and padding, and several answers may follow one
token.

`AdaptedHead` makes an adapter of the output embedding visible to the fused head.
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
    """Restrict a model's fused head to labelled tokens, in place.

    `model(..., labels=labels, fused_lm_head=True)` returns the same results as before, on every device. The model also
    takes `targets`, labels (answers, tokens) with -100 where nothing is scored, together with `tokens_to_score`,
    (scored,), which has for each scored label the index of the token before it in the flattened `input_ids` (batch *
    seq). The results then have the shape of `targets`.

    Args:
        model: model with a fused head (`trl.trainer.utils.add_fused_lm_head`).
    """
    original = model.forward

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
            return original(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        if targets is None:
            assert labels is not None
            targets = labels[:, 1:]
            rows, columns = (targets != IGNORED).nonzero(as_tuple=True)
            tokens_to_score = rows * labels.shape[1] + columns
        scored = targets != IGNORED
        output = original(
            *args,
            fused_lm_head=True,
            shift_labels=targets[scored][None],
            tokens_to_score=tokens_to_score,
            **kwargs,
        )
        for name in ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1"):
            if (
                values := getattr(output, name)
            ) is not None:  # a scatter, to stay in the graph even if nothing is scored
                setattr(output, name, values.new_zeros(scored.shape).masked_scatter(scored, values))
        output.label_mask = scored
        return output

    model.forward = MethodType(forward, model)


def get_bare_model(model: nn.Module) -> Any:
    """Return the HRM-Text inside a PeftModel, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


class AdaptedHead:
    """View of an adapted output head for TRL's fused head: its `weight` includes the adapter's delta, differentiably.

    TRL multiplies by `get_output_embeddings().weight` and never calls the layer. It therefore rejects an adapter of the
    head, which would be neither used nor trained. LoRA's dropout is not applied to the head this way.
    """

    bias = None  # HRM-Text's head has none

    def __init__(self, layer: Any):
        self._layer = layer  # the layer with which PEFT has replaced the head

    @property
    def weight(self) -> Tensor:
        """Weight of the head with the active adapters' deltas, (vocab, hidden)."""
        layer = self._layer
        if not isinstance(layer, LoraLayer):  # trainable tokens: the weight of PEFT's wrapper is complete
            return cast(Tensor, layer.weight)
        weight: Tensor = layer.base_layer.weight  # type: ignore[assignment]
        if layer.disable_adapters or layer.merged:
            return weight
        for name in layer.active_adapters:
            if name in layer.lora_A:
                weight = weight + self._layer.get_delta_weight(name).to(weight.dtype)
        return weight

    def __call__(self, hidden: Tensor) -> Tensor:
        """Compute logits (..., vocab) from hidden states (..., hidden)."""
        return cast(Tensor, self._layer(hidden))


@contextmanager
def head_as_a_layer(model: Any) -> Iterator[None]:
    """Let `get_output_embeddings` return the adapted layer in a `with` block: accelerate needs a module to shard."""
    base = get_bare_model(model)
    exposed = vars(base).pop("get_output_embeddings", None)
    try:
        yield
    finally:
        if exposed is not None:
            base.get_output_embeddings = exposed


def head_layer(model: Any) -> nn.Module:
    """Return the module with the weights of the head, its adapter included."""
    with head_as_a_layer(model):
        layer: nn.Module = model.get_output_embeddings()
    return layer


def expose_adapted_head(model: Any) -> None:
    """Make an adapter of the head visible to trainers with a fused head; a model without one is unchanged."""
    head = model.get_output_embeddings() if isinstance(model, PeftModel) else None  # None for a reward model
    if head is not None and type(head) is not nn.Linear:
        view, base = AdaptedHead(head), cast(Any, model.get_base_model())
        base.get_output_embeddings = lambda: view

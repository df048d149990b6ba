"""The output head on response tokens alone, where TRL's fused head would score every token of a batch.

TRL leaves the others out on Triton devices only. Here the hidden states before the scored tokens are gathered behind the
backbone, so that neither head nor softmax is computed for prompts and padding, and several answers may follow one token.
"""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

from torch import Tensor
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

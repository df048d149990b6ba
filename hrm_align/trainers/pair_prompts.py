"""Chosen and rejected answers behind one prompt: each prompt of a batch is computed once, for policy and reference.

TRL's preference trainers run a padded batch with a row for each answer, so that a pair computes its prompt twice:

    row 0   prompt chosen
    row 1   prompt rejected

`share_prompts` makes a model run `prompt chosen rejected` instead, where both answers have the positions that they have in
rows of their own, so that neither sees the other (`models.intervals`). The outputs keep TRL's layout, a row for each
answer. Losses and gradients stay the same up to rounding, with every loss type. All pairs stand in one row for attention
that skips blocks between documents, and nothing is padded; otherwise every pair has a row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, Trainer

from hrm_align.data.packing import IGNORED
from hrm_align.models.lm_head import get_bare_model
from hrm_align.rollouts.logprobs import Pack, group_answers, pack, packs_in_one_row

_Base: Any = Trainer if TYPE_CHECKING else object


def pack_by_prompt(input_ids: Tensor, attention_mask: Tensor, labels: Tensor, pad_id: int, in_one_row: bool) -> Pack:
    """Pack rows, so that rows with equal prompts share one copy of it.

    Args:
        input_ids: (rows, seq), a prompt and an answer each.
        attention_mask: (rows, seq), 1 on tokens, 0 on padding.
        labels: (rows, seq), the answer's tokens; -100 on the prompt and on padding.
        pad_id: token id of the padding.
        in_one_row: as in `rollouts.logprobs.pack`.

    Returns:
        The pack, on the CPU. `tokens_to_score` follows the order of the rows, which is the order of the labels.
    """
    ids, present, answered = (part.cpu() for part in (input_ids, attention_mask.bool(), labels != IGNORED))
    assert torch.equal(present & (answered.cumsum(dim=1) > 0), answered), "an answer does not end its row"
    prompts = [row[selected] for row, selected in zip(ids, present & ~answered, strict=True)]
    answers = [row[selected] for row, selected in zip(ids, answered, strict=True)]
    packed = pack(group_answers(prompts, answers), pad_id, in_one_row)
    if not packed.rows:
        return packed
    before = packed.tokens_to_score.split([len(answers[row]) for row in packed.rows])
    by_row = dict(zip(packed.rows, before, strict=True))
    return replace(packed, tokens_to_score=torch.cat([by_row[row] for row in sorted(by_row)]), rows=sorted(by_row))


def share_prompts(model: PreTrainedModel, pad_id: int, on_pack: Callable[[Pack], None] | None = None) -> None:
    """Make a model compute equal prompts of a batch once, in place.

    `model(input_ids=..., attention_mask=..., labels=..., fused_lm_head=True)` returns the same results as before, in the
    same shapes (rows, seq - 1). Each answer must follow its prompt directly and end its row.

    Args:
        model: model with a fused head on response tokens only (`models.lm_head.score_responses_only`).
        pad_id: token id of the padding.
        on_pack: function that is called with each pack before it is run.
    """
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(
        self: PreTrainedModel,
        *args: Any,
        fused_lm_head: bool = False,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head or labels is None:
            return original(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        in_one_row = packs_in_one_row(str(self.config._attn_implementation))
        ids, mask = kwargs.pop("input_ids"), kwargs.pop("attention_mask")
        packed = pack_by_prompt(ids, mask, labels, pad_id, in_one_row)
        if on_pack is not None:
            on_pack(packed)
        return original(
            *args,
            input_ids=packed.input_ids.to(ids.device),
            attention_mask=packed.attention_mask.to(ids.device),
            position_ids=packed.position_ids.to(ids.device),
            targets=labels[:, 1:],
            tokens_to_score=packed.tokens_to_score.to(ids.device),
            fused_lm_head=True,
            **kwargs,
        )

    model.forward = MethodType(forward, model)


class SharedPrompts(_Base):
    """Mixin before `Stabilised`: applies `share_prompts` to policy and reference if that setting is on."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not self.args.share_prompts:
            return
        pad_id = int(self.processing_class.pad_token_id)
        for model, on_pack in ((self.model, self._count_tokens), (self.ref_model, None)):
            if model is not None:
                share_prompts(get_bare_model(self.accelerator.unwrap_model(model)), pad_id, on_pack)

    def _count_tokens(self, packed: Pack) -> None:
        """Let the health monitor count a token of a shared prompt for each of its answers."""
        if self.health is not None:
            self.health.count_tokens(packed.counts)

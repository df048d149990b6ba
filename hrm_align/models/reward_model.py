"""Sequence classifier on the HRM-Text backbone: a reward model, which gives an answer one score.

    <|im_start|> condition prompt <|im_end|> answer <|box_end|>
    └─ read in both directions ────────────┘               └ the score is read here: score = w . z_H

Transformers has no such class for HRM-Text. `hrm_align` imports this module together with Transformers' HrmText classes, so that a
saved reward model loads by its path: `AutoModelForSequenceClassification.from_pretrained(folder)`. The mask is that of the backbone
(`hrm_align.models.prefix_mask`).
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoModelForSequenceClassification
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.hrm_text.configuration_hrm_text import HrmTextConfig
from transformers.models.hrm_text.modeling_hrm_text import HrmTextPreTrainedModel

SCORE = "score"  # name of the head, Transformers' for all its sequence classifiers


class HrmTextForSequenceClassification(GenericForSequenceClassification, HrmTextPreTrainedModel):
    """HRM-Text with a linear head (labels, hidden) without bias, read at the last token that is not padding.

    `logits` of the output are (batch, labels); a reward model has one label. The backbone's weights have the same names as in
    `HrmTextForCausalLM`, so a causal LM's checkpoint loads too, with a new head.
    """

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]  # noqa: RUF012  a list, as in Transformers

    def __init__(self, config: HrmTextConfig):
        super().__init__(config)
        # PEFT trains a copy of the head in float32 on a backbone in half precision; hooks are copied with it.
        getattr(self, SCORE).register_forward_pre_hook(_in_own_precision)


def _in_own_precision(head: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the hidden states in the precision of the head's weight."""
    weight: Any = head.weight
    return args[0].to(weight.dtype), *args[1:]


# Without exist_ok Transformers silently leaves a class for one of its own configs out.
AutoModelForSequenceClassification.register(HrmTextConfig, HrmTextForSequenceClassification, exist_ok=True)

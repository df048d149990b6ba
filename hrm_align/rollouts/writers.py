"""Batched decoding state: prefill each prompt once, then step all completions together.

writer = read(model, [prompt, prompt])        # prefill; writer.logits are those of the first tokens, (2, vocab)
writer.write(writer.logits.argmax(dim=-1))    # append one token to each completion; writer.logits are updated
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from hrm_align.models.attention import BY_DOCUMENT, PLAN, placeholder_mask
from hrm_align.models.prefix_mask import CACHE, mark_joined
from hrm_align.rollouts.kv_cache import SharedCache, left_pad, slot_cache


class Writer(Protocol):
    """Protocol of batched decoding states; `logits` (answers, vocab) are those of the completions' next tokens."""

    logits: Tensor

    def write(self, tokens: Tensor) -> None:
        """Append one token to each completion, (answers,), and compute the next logits."""

    def keep(self, answers: Tensor) -> None:
        """Keep only some completions, by their indices (kept,) in order."""

    def join(self, other: Any) -> bool:
        """Append the completions of another state; returns False, with both unchanged, if that is not possible."""


def read(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Writer:
    """Prefill prompts and start an empty completion of each; consecutive equal prompts are prefilled once.

    Args:
        model: an HrmTextForCausalLM in eval mode, or a PeftModel of one.
        prompts: token ids from `render_prompt`.

    Returns:
        A state with one KV cache per distinct prompt if the model's attention supports that, otherwise one per
        completion.
    """
    shares = cast(Any, model.config)._attn_implementation in BY_DOCUMENT
    return SharedPromptState(model, prompts) if shares else CopiedPromptState(model, prompts)


class SharedPromptState:
    """Decoding state in which all completions of a prompt share its keys and values. See `read`."""

    cache_class = SharedCache

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        self._model: Any = model
        ids, mask, prompt_of = _batch(model, prompts)
        self._cache = self.cache_class(mask, prompt_of)
        self.logits = _prefill(model, ids, mask, self._cache)[prompt_of]
        self._cache.begin_answers()
        self._positions = mask.sum(dim=1)[prompt_of]  # (answers,), position of the next token

    def write(self, tokens: Tensor) -> None:
        """See `Writer`."""
        output = self._model(
            input_ids=tokens[:, None],
            attention_mask=placeholder_mask(),  # the plan does the masking
            position_ids=self._positions[:, None],
            use_cache=True,
            **{CACHE: self._cache, PLAN: self._cache},
        )
        self._positions = self._positions + 1
        self.logits = output.logits[:, -1]

    def keep(self, answers: Tensor) -> None:
        """See `Writer`."""
        self._cache.keep(answers)
        self._positions = self._positions[answers]

    def join(self, other: Any) -> bool:
        """See `Writer`."""
        if type(self) is not SharedPromptState or type(other) is not SharedPromptState:
            return False  # captured steps need fixed addresses
        self._cache.join(other._cache)
        self._positions = torch.cat([self._positions, other._positions])
        self.logits = torch.cat([self.logits, other.logits])
        return True


class CopiedPromptState:
    """Decoding state in which each completion has a copy of its prompt's keys and values, for any attention. See `read`."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        self._model: Any = model
        ids, mask, prompt_of = _batch(model, prompts)
        self._cache = slot_cache()
        self.logits = _prefill(model, ids, mask, self._cache)[prompt_of]
        self._cache.batch_select_indices(prompt_of)
        self._mask, self._has_joined = mask[prompt_of], False  # (answers, seq)

    def write(self, tokens: Tensor) -> None:
        """See `Writer`."""
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        output = self._model(
            input_ids=tokens[:, None],
            attention_mask=self._mask,
            position_ids=self._mask.sum(dim=1, keepdim=True) - 1,
            use_cache=True,
            **{CACHE: self._cache},
        )
        self.logits = output.logits[:, -1]

    def keep(self, answers: Tensor) -> None:
        """See `Writer`."""
        self._cache.batch_select_indices(answers)
        self._mask = self._mask[answers]
        padding = int(self._mask.any(dim=0).int().argmax()) if len(answers) else 0
        if self._has_joined and padding:
            self._mask = self._mask[:, padding:]
            for layer in cast(Any, self._cache.layers):
                layer.drop_front(padding)

    def join(self, other: Any) -> bool:
        """See `Writer`."""
        if not isinstance(other, CopiedPromptState):
            return False
        for layer, more in zip(cast(Any, self._cache.layers), other._cache.layers, strict=True):
            layer.join(more)
        width = max(self._mask.shape[1], other._mask.shape[1])
        self._mask = torch.cat([pad(mask, (width - mask.shape[1], 0)) for mask in (self._mask, other._mask)])
        mark_joined(self._cache)
        self.logits, self._has_joined = torch.cat([self.logits, other.logits]), True
        return True


def _batch(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Batch prompts without consecutive repetitions: ids and mask (distinct, seq), and each prompt's row in them (answers,)."""
    device, distinct, rows = next(model.parameters()).device, list[Sequence[int]](), []
    for prompt in prompts:
        if not distinct or list(distinct[-1]) != list(prompt):
            distinct.append(prompt)
        rows.append(len(distinct) - 1)
    ids, mask = left_pad(distinct, cast(Any, model.generation_config).pad_token_id)
    return ids.to(device), mask.to(device), torch.tensor(rows, device=device)


def _prefill(model: Any, ids: Tensor, mask: Tensor, cache: Any) -> Tensor:
    """Prefill the cache with prompts (distinct, seq); returns the logits of their next tokens (distinct, vocab)."""
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # counted from each prompt's own start
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        logits_to_keep=1,
        **{CACHE: cache},
    )
    return cast(Tensor, output.logits[:, -1])

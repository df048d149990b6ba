"""Prefix mask as intervals: the keys that each token of a batch attends to, as a pure function of the tokens.

HRM-Text attends bidirectionally within its prompt and causally within its answer. The prefix of a document is every
token up to and including the first `<|im_end|>`. For two packed documents `a a A | b b b B B` (lower case: prefix,
upper case: response), a query (row) attends to the keys (columns) marked x:

          a a A b b b B B
        a x x . . . . . .
        a x x . . . . . .
        A x x x . . . . .
        b . . . x x x . .
        b . . . x x x . .
        b . . . x x x . .
        B . . . x x x x .
        B . . . x x x x x

Every row is one interval, `first <= key <= last`, so that a mask is two integers per token. Transformers' own builders
turn the intervals into the form of each attention kernel (bool, float or BlockMask).

A prompt may have several answers, as in the rollouts of reinforcement learning: a new answer begins where
`position_ids` return to the prompt's length, and attends to the prompt and to itself. Its rows have a second interval,
that of the prompt. For `a a A A` and another answer `C C` to `a a`, at the positions 0 1 2 3 2 3:

          a a A A C C
        C x x . . x .
        C x x . . x x
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from hrm_align.rendering import Layout


class PrefixMaskError(ValueError):
    """The prefix mask cannot be built for this input; a causal mask instead would silently give wrong results."""


class Intervals(NamedTuple):
    """Visible keys of each query, as columns of its row; all tensors are (batch, seq), int64.

    A query attends to the keys `first <= key <= last`. In a batch with further answers to a prompt, tokens of these
    answers also attend to `prompt_first <= key <= prompt_last`; for all other tokens the two values are -1 and -2.
    """

    first: Tensor
    last: Tensor
    prompt_first: Tensor | None = None
    prompt_last: Tensor | None = None


def visible_intervals(
    input_ids: Tensor | None,
    layout: Layout,
    attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Intervals:
    """Compute the visible keys of every token of a batch.

    A document begins where `position_ids` do not increase by 1 (packed rows) or where `attention_mask` changes
    (padding). A further answer begins where `position_ids` return to the length of the prompt. Each padding token is a
    document of its own and attends only to itself, so that no row of the softmax is empty.

    Args:
        input_ids: (batch, seq); None if only embeddings are known, which requires `token_type_ids`.
        layout: ids of the control tokens.
        attention_mask: (batch, seq), 1 on tokens, 0 on padding; None if there is no padding.
        position_ids: (batch or 1, seq); None if every row is one document.
        token_type_ids: (batch, seq), 1 on the prefix; optional, and must agree with `input_ids`.

    Returns:
        The intervals, (batch, seq), int64.

    Raises:
        PrefixMaskError: for a document without a prefix, token types that contradict the tokens, or positions that
            return to a value that is neither 0 nor the length of the prompt.
    """
    tokens = input_ids if input_ids is not None else token_type_ids
    if tokens is None:
        raise PrefixMaskError(
            "inputs_embeds without token_type_ids: the end of the prompt is unknown (prompt tuning is not supported for a "
            "prefix-LM). Pass token_type_ids with 1 on the prompt."
        )
    # Where documents and further answers begin; every mask below is (batch, seq) bool.
    real = _real_tokens(tokens, attention_mask)
    starts = _document_starts(real, position_ids)
    index = torch.arange(real.shape[1], device=real.device).expand_as(real)
    ends = None if input_ids is None else real & (input_ids == layout.prefix_end)
    again = _further_answers(ends, real, starts, position_ids)
    if again is not None:
        starts = starts & ~again  # further answers belong to the prompt's document
    # The prefix of each document, by the tokens and by the token types.
    first = _latest(starts, index)
    ruled = None if ends is None else _closed_prefix(ends, first, starts)
    typed = None if token_type_ids is None else real & (token_type_ids == 1)
    prefix = _agreed_prefix(ruled, typed, real, starts)
    if input_ids is not None:
        _check_one_document(input_ids, layout, prefix, starts if again is None else starts | again)
    # A prefix token sees the whole prefix: the last visible key is where its prefix closes. A response token sees up to itself.
    following = torch.ones_like(prefix)
    following[:, :-1] = starts[:, 1:] | ~prefix[:, 1:]
    closes = torch.where(prefix & following, index, real.shape[1])
    next_close = closes.flip(1).cummin(dim=1).values.flip(1)
    last = torch.where(prefix, next_close, index)
    documents = Intervals(first, last)
    return documents if again is None else _separate_answers(documents, _latest(starts | again, index), again)


def _separate_answers(documents: Intervals, own: Tensor, again: Tensor) -> Intervals:
    """Restrict further answers to the prompt and themselves.

    Args:
        documents: intervals in which a further answer still sees the whole document before it.
        own: (batch, seq), column in which each token's document or further answer begins.
        again: (batch, seq) bool, where further answers begin.
    """
    first, last = documents.first, documents.last
    is_further = again.gather(1, own)
    prompt_first, prompt_last = torch.where(is_further, first, -1), torch.where(is_further, last.gather(1, first), -2)
    return Intervals(torch.where(is_further, own, first), last, prompt_first, prompt_last)


def _latest(flags: Tensor, index: Tensor) -> Tensor:
    """Return for every token the column of the last true flag up to it, (batch, seq)."""
    return torch.where(flags, index, 0).cummax(dim=1).values


def _further_answers(ends: Tensor | None, real: Tensor, starts: Tensor, position_ids: Tensor | None) -> Tensor | None:
    """Return where further answers to a prompt begin, (batch, seq) bool, or None if there are none."""
    if position_ids is None or ends is None:
        return None
    positions = position_ids.expand(real.shape[0], -1)
    back = starts & real & (positions > 0)
    back[:, 0] = False
    if not bool(back.any()):
        return None
    index = torch.arange(real.shape[1], device=real.device).expand_as(real)
    documents = starts & ~back
    first = _latest(documents, index)
    prefix = _closed_prefix(ends, first, documents)
    number = documents.cumsum(dim=1) - 1
    prompt_length = torch.zeros_like(number).scatter_add_(1, number, prefix.long()).gather(1, number)
    # A further answer starts at the prompt's length, in a document whose own positions start at 0.
    answers = back & (positions == prompt_length) & (positions.gather(1, first) == 0) & real.gather(1, first)
    if not bool(answers.any()):
        return None
    if (row := _first_row(back & ~answers)) is not None:
        raise PrefixMaskError(
            f"row {row}: position_ids go back to a value that starts neither a document (0) nor a further answer (the length "
            "of its prompt). Start each document at 0, and each further answer at its prompt's length."
        )
    return answers


def _real_tokens(tokens: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None:
        return torch.ones_like(tokens, dtype=torch.bool)
    if attention_mask.shape != tokens.shape or (attention_mask.long() > 1).any():
        raise PrefixMaskError(
            f"invalid attention_mask of shape {tuple(attention_mask.shape)} for {tuple(tokens.shape)} tokens. Pass 1 or 0 for "
            "each token; packed documents are separated by position_ids."
        )
    return attention_mask.bool()


def _check_one_document(input_ids: Tensor, layout: Layout, prefix: Tensor, starts: Tensor) -> None:
    """Check that no document has a new message after its answer: that would be a second document without its own positions.

    No sampler generates the start of a message after the end of an answer.
    """
    joint = (input_ids[:, :-1] == layout.answer_end) & (input_ids[:, 1:] == layout.message_start)
    if (row := _first_row(joint & ~prefix[:, :-1] & ~starts[:, 1:])) is not None:
        raise PrefixMaskError(
            f"row {row} has several documents, and without a restart of position_ids they would attend to each other (TRL's "
            "packing_strategy='wrapped'?). Pass position_ids that count from 0 in every document."
        )


def _document_starts(real: Tensor, position_ids: Tensor | None) -> Tensor:
    starts = ~real
    starts[:, 0] = True
    starts[:, 1:] |= real[:, 1:] != real[:, :-1]
    if position_ids is not None:
        positions = position_ids.expand(real.shape[0], -1)
        starts[:, 1:] |= positions[:, 1:] != positions[:, :-1] + 1
    return starts


def _closed_prefix(ends: Tensor, first: Tensor, starts: Tensor) -> Tensor:
    """Return the tokens up to and including the first prefix end of their document; none in a document without one."""
    before = ends.cumsum(dim=1) - ends.long()  # number of ends before a token, in its row
    return (before == before.gather(1, first)) & _any_in_document(ends, starts)


def _agreed_prefix(ruled: Tensor | None, typed: Tensor | None, real: Tensor, starts: Tensor) -> Tensor:
    """Return the prefix (batch, seq) by the tokens or by the token types; raise PrefixMaskError if both exist and disagree."""
    prefix = typed if ruled is None else ruled
    assert prefix is not None  # the caller has input_ids or token_type_ids
    if typed is not None and ruled is not None:
        no_end = real & ~_any_in_document(ruled, starts)
        prefix = torch.where(no_end, typed, ruled)
        if (row := _first_row(prefix != typed)) is not None:
            raise PrefixMaskError(
                f"row {row}: token_type_ids contradict the tokens, by which the prefix ends with the first <|im_end|> of a "
                "document. Leave token_type_ids out, or set them to 1 up to that token and to 0 after it (if a tokenizer emits "
                'zeros, remove "token_type_ids" from its model_input_names).'
            )
    reopened = prefix.clone()
    reopened[:, 1:] &= ~prefix[:, :-1] & ~starts[:, 1:]
    reopened[:, 0] = False
    if typed is not None and (row := _first_row(reopened)) is not None:
        raise PrefixMaskError(
            f"row {row}: token_type_ids mark a second prefix after an answer, to which the answer would attend. "
            "Use one row per answer, with the whole history in its prefix (hrm_align.render_conversation)."
        )
    if (row := _first_row(real & ~_any_in_document(prefix, starts))) is not None:
        raise PrefixMaskError(
            f"row {row} holds a document without <|im_end|>, so the end of its prompt is unknown (truncation, or a prompt in "
            "chunks by prefill_chunk_size?). Render prompts with hrm_align.render_prompt and pass each prompt whole."
        )
    return prefix


def _any_in_document(flags: Tensor, starts: Tensor) -> Tensor:
    """Return for every token whether any flag of its document is true, (batch, seq) bool."""
    document = starts.cumsum(dim=1) - 1
    return torch.zeros_like(document).scatter_reduce_(1, document, flags.long(), "amax").gather(1, document).bool()


def _first_row(flags: Tensor) -> int | None:
    rows = flags.any(dim=1).nonzero()
    return int(rows[0, 0]) if len(rows) else None


def build_attention_mask(
    intervals: Intervals, config: PreTrainedConfig, dtype: torch.dtype, kv_length: int | None = None
) -> Any:
    """Build the attention mask of the configured kernel from the intervals.

    Args:
        intervals: tensors of shape (batch, seq).
        config: model config with the kernel: sdpa (bool mask), eager (float mask) or flex_attention (BlockMask).
        dtype: dtype of the hidden states; eager adds the mask to scores of this dtype.
        kv_length: number of keys; more than seq for a preallocated cache. Default: seq.

    Returns:
        A (batch, 1, seq, kv_length) mask, or the kernel's equivalent.
    """
    first, last, prompt_first, prompt_last = intervals
    kernel = config._attn_implementation
    if kernel not in ALL_MASK_ATTENTION_FUNCTIONS or "paged" in kernel or "flash" in kernel:
        raise PrefixMaskError(
            f"attention implementation {kernel!r} does not support a prefix mask (paged continuous batching and "
            "FlashAttention apply a causal mask to the prompt). Use sdpa, eager or flex_attention."
        )

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (first[batch, query] <= key) & (key <= last[batch, query])
        if prompt_first is None or prompt_last is None:
            return own
        return own | (prompt_first[batch, query] <= key) & (key <= prompt_last[batch, query])

    return ALL_MASK_ATTENTION_FUNCTIONS[kernel](
        batch_size=first.shape[0],
        q_length=first.shape[1],
        kv_length=kv_length or first.shape[1],
        q_offset=0,
        kv_offset=0,
        mask_function=visible,
        attention_mask=None,
        allow_is_causal_skip=False,
        dtype=dtype,
        config=config,
        use_vmap=False,
        device=first.device,
    )

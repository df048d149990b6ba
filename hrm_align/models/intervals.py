"""The rule of the prefix mask: which tokens each token of a batch may see. Pure functions of the tokens.

HRM-Text reads its prompt bidirectionally and writes its answer causally. The prefix is a function of the tokens:
everything up to and including the first `<|im_end|>` of a document. For two packed documents `a a A | b b b B B`
(lower case read, upper case written) a query (row) sees the keys (columns) marked x:

          a a A b b b B B
        a x x . . . . . .
        a x x . . . . . .
        A x x x . . . . .
        b . . . x x x . .
        b . . . x x x . .
        b . . . x x x . .
        B . . . x x x x .
        B . . . x x x x x

Every row is one interval, `first <= key <= last`, so a mask is two integers a token; each attention kernel gets the form
it wants (bool, float or BlockMask) from Transformers' own builders.

Several answers may stand behind one prompt, as reinforcement learning draws them: where `position_ids` go back to the
prompt's length another answer to it begins, which sees the prompt and itself. Its row has a second interval, the prompt's.
For `a a A A` and another answer `C C` to `a a`, at the positions 0 1 2 3 2 3:

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
    """The prefix mask cannot be built for this input, and running it causally would be silently wrong."""


class Intervals(NamedTuple):
    """What each query may see: keys `first <= key <= last`, both of shape (batch, seq), in tokens of the row.

    In a batch with further answers to a prompt, those also see `prompt_first <= key <= prompt_last`, which are -1 and -2
    for all other tokens.
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
    """Which keys every token of a batch may see.

    A document begins where `position_ids` do not count on (packed rows) or where `attention_mask` changes (padding), and
    another answer where they go back to the length of the prompt. Each padding token is a document of its own: it sees
    itself alone, so no row of the softmax is empty.

    Args:
        input_ids: (batch, seq), or None if only embeddings are known; then `token_type_ids` must be given.
        layout: ids of the control tokens.
        attention_mask: (batch, seq), 1 on real tokens; None if all are real.
        position_ids: (batch or 1, seq); None if every row is one document.
        token_type_ids: (batch, seq), 1 on the prefix. Optional: it must say what the tokens say.

    Returns:
        The intervals, (batch, seq), int64.

    Raises:
        PrefixMaskError: a document without a prefix, token types that contradict the tokens, or positions that go back to
            what is neither 0 nor the length of the prompt.
    """
    shape_of = input_ids if input_ids is not None else token_type_ids
    if shape_of is None:
        raise PrefixMaskError(
            "inputs_embeds came without token_type_ids, so the prompt cannot be told from the answer "
            "(prompt tuning is not supported for a prefix-LM). Pass token_type_ids with 1 on the prompt."
        )
    real = _real_tokens(shape_of, attention_mask)
    starts = _document_starts(real, position_ids)
    index = torch.arange(real.shape[1], device=real.device).expand_as(real)
    ends = None if input_ids is None else real & (input_ids == layout.prefix_end)
    again = _further_answers(ends, real, starts, position_ids)
    if again is not None:
        starts = starts & ~again  # they belong to the prompt's document
    first = _latest(starts, index)
    ruled = None if ends is None else _closed_prefix(ends, first, starts)
    typed = None if token_type_ids is None else real & (token_type_ids == 1)
    prefix = _agreed_prefix(ruled, typed, real, starts)
    if input_ids is not None:
        _check_one_document(input_ids, layout, prefix, starts if again is None else starts | again)
    following = torch.ones_like(prefix)
    following[:, :-1] = starts[:, 1:] | ~prefix[:, 1:]
    closes = torch.where(prefix & following, index, real.shape[1])
    next_close = closes.flip(1).cummin(dim=1).values.flip(1)
    last = torch.where(prefix, next_close, index)
    documents = Intervals(first, last)
    return documents if again is None else _set_apart(documents, _latest(starts | again, index), again)


def _set_apart(documents: Intervals, own: Tensor, again: Tensor) -> Intervals:
    """The intervals with further answers cut from the document before them, of which they see the prompt.

    Args:
        documents: in which a further answer still sees all that stands before it.
        own: where each token's document or further answer begins.
        again: where further answers begin.
    """
    first, last = documents.first, documents.last
    is_further = again.gather(1, own)
    prompt_first, prompt_last = torch.where(is_further, first, -1), torch.where(is_further, last.gather(1, first), -2)
    return Intervals(torch.where(is_further, own, first), last, prompt_first, prompt_last)


def _latest(flags: Tensor, index: Tensor) -> Tensor:
    """For every token the place of the last flag up to it."""
    return torch.where(flags, index, 0).cummax(dim=1).values


def _further_answers(ends: Tensor | None, real: Tensor, starts: Tensor, position_ids: Tensor | None) -> Tensor | None:
    """Where another answer to the prompt before it begins, or None if none does."""
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
    found = back & (positions == prompt_length) & (positions.gather(1, first) == 0) & real.gather(1, first)
    if not bool(found.any()):
        return None
    if (row := _first_row(back & ~found)) is not None:
        raise PrefixMaskError(
            f"row {row}: position_ids go back to what is neither 0, where a document begins, nor the length of its prompt, "
            "where another answer to it begins."
        )
    return found


def _real_tokens(shape_of: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None:
        return torch.ones_like(shape_of, dtype=torch.bool)
    if attention_mask.shape != shape_of.shape or (attention_mask.long() > 1).any():
        raise PrefixMaskError(
            f"attention_mask of shape {tuple(attention_mask.shape)} for {tuple(shape_of.shape)} tokens: pass 1 or 0 for "
            "each token; packed documents are told apart by position_ids."
        )
    return attention_mask.bool()


def _check_one_document(input_ids: Tensor, layout: Layout, prefix: Tensor, starts: Tensor) -> None:
    """Behind its answer a document may not go on with a new message: that would be a second one, unseen.

    No sampler writes the start of a message behind the end of an answer.
    """
    joint = (input_ids[:, :-1] == layout.answer_end) & (input_ids[:, 1:] == layout.message_start)
    if (row := _first_row(joint & ~prefix[:, :-1] & ~starts[:, 1:])) is not None:
        raise PrefixMaskError(
            f"row {row} holds several documents, but position_ids do not say where each begins, so they would see each "
            "other (TRL's packing_strategy='wrapped'?). Pass position_ids that count from 0 in every document."
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
    """Tokens up to and including the first end of their document; in a document without any, none."""
    before = ends.cumsum(dim=1) - ends.long()  # ends strictly before a token, in its row
    return (before == before.gather(1, first)) & _any_in_document(ends, starts)


def _agreed_prefix(ruled: Tensor | None, typed: Tensor | None, real: Tensor, starts: Tensor) -> Tensor:
    """The prefix by the tokens, by the token types, or by both when they agree; raises where there is none."""
    prefix = typed if ruled is None else ruled
    assert prefix is not None  # the caller has input_ids or token_type_ids
    if typed is not None and ruled is not None:
        no_end = real & ~_any_in_document(ruled, starts)
        prefix = torch.where(no_end, typed, ruled)
        if (row := _first_row(prefix != typed)) is not None:
            raise PrefixMaskError(
                f"row {row}: token_type_ids contradict the tokens: the prefix ends with the first <|im_end|> of a "
                "document. Leave token_type_ids out, or set them to 1 up to there and 0 behind it (a tokenizer that "
                'emits zeros: remove "token_type_ids" from its model_input_names).'
            )
    reopened = prefix.clone()
    reopened[:, 1:] &= ~prefix[:, :-1] & ~starts[:, 1:]
    reopened[:, 0] = False
    if typed is not None and (row := _first_row(reopened)) is not None:
        raise PrefixMaskError(
            f"row {row}: token_type_ids mark a second prefix behind an answer, which would let the answer see it. "
            "Use one row per answer, with the whole history in its prefix (hrm_align.render_conversation)."
        )
    if (row := _first_row(real & ~_any_in_document(prefix, starts))) is not None:
        raise PrefixMaskError(
            f"row {row} holds a document without <|im_end|>, so its prompt has no end: was it rendered by "
            "hrm_align.render_prompt, cut by truncation, or fed in chunks (prefill_chunk_size)? A prompt must be "
            "whole; it is never run causally in silence."
        )
    return prefix


def _any_in_document(flags: Tensor, starts: Tensor) -> Tensor:
    document = starts.cumsum(dim=1) - 1
    return torch.zeros_like(document).scatter_reduce_(1, document, flags.long(), "amax").gather(1, document).bool()


def _first_row(flags: Tensor) -> int | None:
    rows = flags.any(dim=1).nonzero()
    return int(rows[0, 0]) if len(rows) else None


def attention_mask_of(
    intervals: Intervals, config: PreTrainedConfig, dtype: torch.dtype, kv_length: int | None = None
) -> Any:
    """The intervals in the form that the configured attention kernel takes.

    Args:
        intervals: of shape (batch, seq) each.
        config: names the kernel: sdpa (bool mask), eager (float mask) or flex_attention (BlockMask).
        dtype: of the hidden states; eager adds the mask to scores of this type.
        kv_length: number of keys; more than seq for a preallocated cache. Default seq.

    Returns:
        A (batch, 1, seq, kv_length) mask, or the kernel's equivalent.
    """
    first, last, prompt_first, prompt_last = intervals
    kernel = config._attn_implementation
    if kernel not in ALL_MASK_ATTENTION_FUNCTIONS or "paged" in kernel or "flash" in kernel:
        raise PrefixMaskError(
            f"attention implementation {kernel!r} cannot carry a prefix mask (paged continuous batching and "
            "FlashAttention run the prompt causally): use sdpa, eager or flex_attention."
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

"""The seam: one patch of Transformers' HrmText classes through which every trainer and sampler gets the prefix mask.

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

The patch sits on the backbone class, because TRL's fused head calls the backbone, loads second models by name, and
accelerate and PEFT wrap instances. Where the rule cannot hold it raises; it never falls back to a causal prompt.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor
from transformers import Cache, GenerationMixin, HrmTextForCausalLM, HrmTextModel, PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

# `<|im_end|>` of the published tokenizer. A checkpoint with another vocabulary carries `prefix_end_token_id` in its
# config, because reference models that a trainer loads by path come without their tokenizer.
PREFIX_END_ID = 7

_CACHE_MARK = "hrm_prefix_length"  # set on a cache that was filled under the prefix mask
_originals: dict[type, Callable[..., Any]] = {}


class PrefixMaskError(ValueError):
    """The prefix mask cannot be built for this input, and running it causally would be silently wrong."""


class Intervals(NamedTuple):
    """What each query may see: keys `first <= key <= last`, both of shape (batch, seq), in tokens of the row."""

    first: Tensor
    last: Tensor


def prefix_end_id(config: PreTrainedConfig) -> int:
    """Token id that closes a prefix under this config."""
    return getattr(config, "prefix_end_token_id", PREFIX_END_ID)


def visible_intervals(
    input_ids: Tensor | None,
    end_id: int,
    attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Intervals:
    """Which keys every token of a batch may see.

    A document begins where `position_ids` do not count on (packed rows) or where `attention_mask` changes (padding).
    Each padding token is a document of its own: it sees itself alone, so no row of the softmax is empty.

    Args:
        input_ids: (batch, seq), or None if only embeddings are known; then `token_type_ids` must be given.
        end_id: token id of `<|im_end|>`.
        attention_mask: (batch, seq), 1 on real tokens; None if all are real.
        position_ids: (batch or 1, seq); None if every row is one document.
        token_type_ids: (batch, seq), 1 on the prefix. Optional: it must say what the tokens say.

    Returns:
        The intervals, both (batch, seq), int64.

    Raises:
        PrefixMaskError: a document without a prefix, or token types that contradict the tokens.
    """
    shape_of = input_ids if input_ids is not None else token_type_ids
    if shape_of is None:
        raise PrefixMaskError(
            "inputs_embeds came without token_type_ids, so the prompt cannot be told from the answer "
            "(prompt tuning is not supported for a prefix-LM). Pass token_type_ids with 1 on the prompt."
        )
    real = torch.ones_like(shape_of, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    if real.shape != shape_of.shape:
        raise PrefixMaskError(
            f"attention_mask has shape {tuple(real.shape)} for {tuple(shape_of.shape)} tokens: pass one value a token."
        )
    starts = _document_starts(real, position_ids)
    index = torch.arange(real.shape[1], device=real.device).expand_as(real)
    first = torch.where(starts, index, 0).cummax(dim=1).values
    ruled = None if input_ids is None else _closed_prefix(real & (input_ids == end_id), first, starts)
    typed = None if token_type_ids is None else real & (token_type_ids == 1)
    prefix = _agreed_prefix(ruled, typed, real, starts)
    following = torch.ones_like(prefix)
    following[:, :-1] = starts[:, 1:] | ~prefix[:, 1:]
    closes = torch.where(prefix & following, index, real.shape[1])
    next_close = closes.flip(1).cummin(dim=1).values.flip(1)
    return Intervals(first, torch.where(prefix, next_close, index))


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
    in_document = before - before.gather(1, first)
    document = starts.cumsum(dim=1) - 1
    has_end = torch.zeros_like(document).scatter_reduce_(1, document, ends.long(), "amax").gather(1, document)
    return (in_document == 0) & has_end.bool()


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
    first, last = intervals
    kernel = config._attn_implementation
    if kernel not in ALL_MASK_ATTENTION_FUNCTIONS or "paged" in kernel or "flash" in kernel:
        raise PrefixMaskError(
            f"attention implementation {kernel!r} cannot carry a prefix mask (paged continuous batching and "
            "FlashAttention run the prompt causally): use sdpa, eager or flex_attention."
        )

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (first[batch, query] <= key) & (key <= last[batch, query])

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


def _cached_length(cache: Cache | None) -> int:
    # Not `is_initialized`: a static cache stays "initialized" after reset(), and its next prompt would run causally.
    return 0 if cache is None else int(cache.get_seq_length())


def _backbone_mask(
    model: HrmTextModel,
    input_ids: Tensor | None,
    attention_mask: Any,
    position_ids: Tensor | None,
    cache: Cache | None,
    token_type_ids: Tensor | None,
    inputs_embeds: Tensor | None,
) -> tuple[Any, Intervals | None]:
    """The mask of one backbone call, with its intervals if this call is the one that reads the prompt."""
    if attention_mask is not None and attention_mask.ndim == 4:
        return _taken_as_given(attention_mask, model), None
    if _cached_length(cache) > 0:
        _check_continuation(model, input_ids, cache, token_type_ids)
        return attention_mask, None  # answer tokens behind a whole prompt are causal
    intervals = visible_intervals(input_ids, prefix_end_id(model.config), attention_mask, position_ids, token_type_ids)
    tokens = input_ids if input_ids is not None else inputs_embeds
    assert tokens is not None  # else the intervals would have raised
    kv_length = None if cache is None else cache.get_mask_sizes(tokens.shape[1], 0)[0]
    return attention_mask_of(intervals, model.config, model.dtype, kv_length), intervals


def _taken_as_given(mask: Any, model: HrmTextModel) -> Any:
    """A 4-D mask is the caller's own decision. A bool one that eager would add to the scores as 0 and 1 is mended."""
    if model.config._attn_implementation != "eager" or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=model.dtype).masked_fill(~mask, torch.finfo(model.dtype).min)


def _mark(cache: Cache | None, intervals: Intervals | None) -> None:
    """Record on a cache that it holds a whole prompt, and how long that is (0 where the caller's own mask hides it)."""
    if cache is None or (intervals is None and hasattr(cache, _CACHE_MARK)):
        return
    length = 0
    if intervals is not None:
        index = torch.arange(intervals.last.shape[1], device=intervals.last.device)
        length = int(torch.where(intervals.last > index, intervals.last + 1, 0).max())
    setattr(cache, _CACHE_MARK, length)


def _check_continuation(
    model: HrmTextModel, input_ids: Tensor | None, cache: Cache | None, token_type_ids: Tensor | None
) -> None:
    prefix_length = getattr(cache, _CACHE_MARK, None)
    if prefix_length is None or _cached_length(cache) < prefix_length:
        raise PrefixMaskError(
            "the cache was not filled by a whole prompt under the prefix mask (prefix tuning, a cropped cache, a cache "
            "made by hand): start from an empty cache and the whole prompt."
        )
    if token_type_ids is not None and (token_type_ids[:, -1:] == 1).any():
        raise PrefixMaskError("a prompt cannot be added to a live cache: start from an empty cache.")
    if token_type_ids is None and input_ids is not None and (input_ids == prefix_end_id(model.config)).any():
        raise PrefixMaskError(
            "these tokens hold an <|im_end|> but the cache already holds a prompt: a second turn, or a prompt fed in "
            "chunks, would be read causally. Render the whole conversation as one prompt and start from an empty cache."
        )


def _patched_forward(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def forward(
        self: HrmTextModel,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        intervals = None
        if self.config.prefix_lm:
            attention_mask, intervals = _backbone_mask(
                self, input_ids, attention_mask, position_ids, past_key_values, token_type_ids, inputs_embeds
            )
            token_type_ids = None  # spent: they are in the mask
        output = original(
            self,
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        _mark(past_key_values if past_key_values is not None else getattr(output, "past_key_values", None), intervals)
        return output

    return forward


def _patched_prepare(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def prepare_inputs_for_generation(
        self: HrmTextForCausalLM,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Any = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if self.config.prefix_lm and inputs_embeds is None:
            # `generate` grows the token types by their last value, 1: without a cache the answer would join the prefix.
            given = kwargs.pop("token_type_ids", None)
            decoding = next_sequence_length == 1 and not is_first_iteration
            if not decoding and _cached_length(past_key_values) > 0:
                _check_live_prefill(self, input_ids, next_sequence_length, is_first_iteration)
                kwargs["token_type_ids"] = torch.zeros_like(input_ids)
            elif not decoding:
                types = given if is_first_iteration else None
                attention_mask = _prefill_mask(self, input_ids, attention_mask, past_key_values, types, kwargs)
        return original(
            self,
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )

    return prepare_inputs_for_generation


def _prefill_mask(
    model: HrmTextForCausalLM,
    input_ids: Tensor,
    attention_mask: Any,
    cache: Cache | None,
    token_type_ids: Tensor | None,
    kwargs: dict[str, Any],
) -> Any:
    """Check the prompt's token types; for a preallocated cache, build the mask before the compiled forward."""
    if attention_mask is not None and attention_mask.ndim == 4:
        return attention_mask
    intervals = visible_intervals(
        input_ids, prefix_end_id(model.config), attention_mask, kwargs.get("position_ids"), token_type_ids
    )
    if cache is None or not cache.is_compileable:
        return attention_mask
    kv_length, _ = cache.get_mask_sizes(input_ids.shape[1], 0)
    return attention_mask_of(intervals, model.config, model.dtype, kv_length)


def _check_live_prefill(
    model: HrmTextForCausalLM, input_ids: Tensor, length: int | None, is_first_iteration: bool | None
) -> None:
    new = input_ids if length is None else input_ids[:, -length:]
    if is_first_iteration and (new == prefix_end_id(model.config)).any():
        raise PrefixMaskError(
            "generate got a prompt on top of a live cache (a second turn, or prefill_chunk_size): it would be read "
            "causally. Render the whole conversation as one prompt, start from an empty cache, and leave "
            "prefill_chunk_size unset."
        )


def _check_signature(function: Callable[..., Any], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in inspect.signature(function).parameters]
    if missing:
        raise RuntimeError(
            f"transformers {transformers.__version__} changed {function.__qualname__}: it no longer takes "
            f"{', '.join(missing)}, so the prefix mask cannot be installed. Use the version range of pyproject.toml."
        )


def install() -> None:
    """Patch `HrmTextModel.forward` and `HrmTextForCausalLM.prepare_inputs_for_generation`; a second call does nothing.

    Raises:
        RuntimeError: if this Transformers release has changed the signatures that are wrapped.
    """
    if _originals:
        return
    forward = HrmTextModel.forward
    prepare = HrmTextForCausalLM.prepare_inputs_for_generation
    _check_signature(
        forward,
        ("input_ids", "attention_mask", "position_ids", "past_key_values", "token_type_ids", "inputs_embeds"),
    )
    _check_signature(prepare, ("input_ids", "next_sequence_length", "past_key_values", "is_first_iteration"))
    _originals.update({HrmTextModel: forward, HrmTextForCausalLM: prepare})
    setattr(HrmTextModel, "forward", _patched_forward(forward))  # noqa: B010  mypy knows methods are not assigned to
    setattr(HrmTextForCausalLM, "prepare_inputs_for_generation", _patched_prepare(prepare))  # noqa: B010


def uninstall() -> None:
    """Put Transformers back as it was. For tests that show what the seam protects from."""
    if not _originals:
        return
    setattr(HrmTextModel, "forward", _originals.pop(HrmTextModel))  # noqa: B010
    _originals.pop(HrmTextForCausalLM)
    # Inherited from GenerationMixin before the patch: deleting ours uncovers it again.
    del HrmTextForCausalLM.prepare_inputs_for_generation
    assert HrmTextForCausalLM.prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation


@contextmanager
def causal_prompt(model: PreTrainedModel) -> Iterator[None]:
    """Run the model with a causal prompt, as stock trainers do: only for measuring what the prefix mask is worth."""
    config: Any = model.config
    before, config.prefix_lm = config.prefix_lm, False
    try:
        yield
    finally:
        config.prefix_lm = before

"""The seam: one patch of Transformers' HrmText classes through which every trainer and sampler gets the prefix mask.

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
from transformers import Cache, GenerationMixin, HrmTextForCausalLM, HrmTextModel, PreTrainedModel

from hrm_align.errors import UserError
from hrm_align.models.attention import BY_DOCUMENT, PLAN, Plan, instead_of_a_mask, plan_of, register
from hrm_align.models.intervals import Intervals, PrefixMaskError, attention_mask_of, visible_intervals
from hrm_align.releases import supported
from hrm_align.rendering import Layout

# Transformers 5.24 renamed `past_key_values`: the name that forwards and their outputs have for the cache in this release.
CACHE = "cache" if "cache" in inspect.signature(HrmTextModel.forward).parameters else "past_key_values"
_CACHE_MARK = "hrm_prefix_length"  # set on a cache that was filled under the prefix mask
_CONTINUOUS_BATCHING = ("generate_batch", "init_continuous_batching")
_originals: dict[type, Callable[..., Any]] = {}


def _cached_length(cache: Cache | None) -> int:
    # Not `is_initialized`: a static cache stays "initialized" after reset(), and its next prompt would run causally.
    return 0 if cache is None else int(cache.get_seq_length())


class _Mask(NamedTuple):
    """What one backbone call attends by, with its intervals if this call is the one that reads the prompt."""

    mask: Any
    intervals: Intervals | None = None
    plan: Plan | None = None


def _backbone_mask(
    model: HrmTextModel,
    input_ids: Tensor | None,
    attention_mask: Any,
    position_ids: Tensor | None,
    cache: Cache | None,
    token_type_ids: Tensor | None,
    inputs_embeds: Tensor | None,
) -> _Mask:
    if attention_mask is not None and len(attention_mask.shape) == 4:
        return _Mask(_taken_as_given(attention_mask, model))
    if _cached_length(cache) > 0:
        _check_continuation(model, input_ids, cache, token_type_ids)
        return _Mask(attention_mask)  # answer tokens behind a whole prompt are causal
    intervals = visible_intervals(input_ids, Layout.of(model.config), attention_mask, position_ids, token_type_ids)
    tokens = input_ids if input_ids is not None else inputs_embeds
    assert tokens is not None  # else the intervals would have raised
    kv_length = None if cache is None else cache.get_mask_sizes(tokens.shape[1], 0)[0]
    kernel = str(model.config._attn_implementation)
    by_document = kernel in BY_DOCUMENT and kv_length in (None, tokens.shape[1])
    if by_document and (plan := plan_of(kernel, intervals)) is not None:
        return _Mask(instead_of_a_mask(), intervals, plan)
    return _Mask(attention_mask_of(intervals, model.config, model.dtype, kv_length), intervals)


def _taken_as_given(mask: Any, model: HrmTextModel) -> Any:
    """A 4-D mask is the caller's own decision. A bool one that eager would add to the scores as 0 and 1 is mended."""
    if model.config._attn_implementation != "eager" or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=model.dtype).masked_fill(~mask, torch.finfo(model.dtype).min)


def mark_joined(cache: Cache) -> None:
    """Record on a cache that it was put together of caches that each held whole prompts: only the caller's mask tells where
    they end."""
    setattr(cache, _CACHE_MARK, 0)


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
    cached, end_id = _cached_length(cache), Layout.of(model.config).prefix_end
    # Assisted decoding crops the prompt's last token and feeds it again: exact, because <|im_end|> sees all the same.
    if prefix_length == cached + 1 and input_ids is not None and (input_ids[:, 0] == end_id).all():
        return
    if prefix_length is None or cached < prefix_length:
        raise PrefixMaskError(
            "the cache was not filled by a whole prompt under the prefix mask (prefix tuning, a cropped cache, a cache "
            "rebuilt by hand): start from an empty cache and the whole prompt."
        )
    if token_type_ids is not None and token_type_ids[:, -1:].bool().any():
        raise PrefixMaskError("a prompt cannot be added to a live cache: start from an empty cache.")
    # A single <|im_end|> is a sampled answer token; a prompt has more, and candidates of assisted decoding come typed 0.
    if token_type_ids is not None or input_ids is None or input_ids.shape[1] == 1:
        return
    if (input_ids == end_id).any():
        raise PrefixMaskError(
            "these tokens hold an <|im_end|> but the cache already holds a prompt: a second turn, or a prompt fed in "
            "chunks, would be read causally. Render the whole conversation as one prompt and start from an empty cache."
        )


def _under_either_name(cache: Cache | None, kwargs: dict[str, Any]) -> Cache | None:
    """The cache, by whichever name a caller passes it: PEFT says `past_key_values` in every release."""
    by_old_name = kwargs.pop("past_key_values", None)
    return by_old_name if cache is None else cache


def _patched_forward(original: Callable[..., Any]) -> Callable[..., Any]:
    """The backbone's forward under the prefix mask.

    It also takes `tokens_to_score`, places of tokens counted through all rows, in any order and as often as wanted: the
    hidden states of those alone, (1, tokens, hidden), go on to the head, which costs memory and time for each.
    """

    @functools.wraps(original)
    def forward(
        self: HrmTextModel,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        tokens_to_score: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        cache, intervals = _under_either_name(cache, kwargs), None
        if self.config.prefix_lm:
            attention_mask, intervals, plan = _backbone_mask(
                self, input_ids, attention_mask, position_ids, cache, token_type_ids, inputs_embeds
            )
            token_type_ids = None  # spent: they are in the mask
            if plan is not None:
                kwargs[PLAN] = plan
        output = original(
            self,
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **{CACHE: cache},
            **kwargs,
        )
        if self.config.prefix_lm:  # a cache filled under `causal_prompt` must not pass for one with the prefix mask
            _mark(getattr(output, CACHE, None) if cache is None else cache, intervals)
        if tokens_to_score is not None:
            output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[tokens_to_score][None]
        return output

    return forward


def _patched_prepare(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def prepare_inputs_for_generation(
        self: HrmTextForCausalLM,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        cache: Cache | None = None,
        attention_mask: Any = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        cache = _under_either_name(cache, kwargs)
        if self.config.prefix_lm and (inputs_embeds is None or not is_first_iteration):
            # `generate` grows the token types by their last value, 1: without a cache the answer would join the prefix.
            given = kwargs.pop("token_type_ids", None)
            decoding = next_sequence_length == 1 and not is_first_iteration
            if not decoding and _cached_length(cache) > 0:
                _check_live_prefill(self, input_ids, next_sequence_length, is_first_iteration)
                kwargs["token_type_ids"] = torch.zeros_like(input_ids)
            elif not decoding:
                if is_first_iteration and given is not None:
                    kwargs["token_type_ids"] = given
                attention_mask = _prefill_mask(self, input_ids, attention_mask, cache, kwargs)
        return original(
            self,
            input_ids,
            next_sequence_length=next_sequence_length,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **{CACHE: cache},
            **kwargs,
        )

    return prepare_inputs_for_generation


def _prefill_mask(
    model: HrmTextForCausalLM,
    input_ids: Tensor,
    attention_mask: Any,
    cache: Cache | None,
    kwargs: dict[str, Any],
) -> Any:
    """Check the prompt; for a preallocated cache, build the mask before the compiled forward."""
    if attention_mask is not None and len(attention_mask.shape) == 4:
        return attention_mask
    if attention_mask is not None and not attention_mask[:, -1].all():
        raise PrefixMaskError(
            "the prompts are padded on the right, so the answer would begin behind padding: pad them on the left "
            "(tokenizer.padding_side = 'left')."
        )
    positions, types = kwargs.get("position_ids"), kwargs.get("token_type_ids")
    intervals = visible_intervals(input_ids, Layout.of(model.config), attention_mask, positions, types)
    if cache is None or not cache.is_compileable:
        return attention_mask
    kv_length, _ = cache.get_mask_sizes(input_ids.shape[1], 0)
    return attention_mask_of(intervals, model.config, model.dtype, kv_length)


def _check_live_prefill(
    model: HrmTextForCausalLM, input_ids: Tensor, length: int | None, is_first_iteration: bool | None
) -> None:
    new = input_ids if length is None else input_ids[:, -length:]
    if is_first_iteration and (new == Layout.of(model.config).prefix_end).any():
        raise PrefixMaskError(
            "generate got a prompt on top of a live cache (a second turn, or prefill_chunk_size): it would be read "
            "causally. Render the whole conversation as one prompt, start from an empty cache, and leave "
            "prefill_chunk_size unset."
        )


def _refuse_continuous_batching(self: HrmTextForCausalLM, *args: Any, **kwargs: Any) -> None:
    raise PrefixMaskError(
        "continuous batching (generate_batch, use_transformers_paged) builds a causal mask of its own, so every prompt "
        "would run causally: use generate."
    )


def _check_signature(function: Callable[..., Any], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in inspect.signature(function).parameters]
    if missing:
        raise UserError(
            f"transformers {transformers.__version__} changed {function.__qualname__}: it no longer takes "
            f"{', '.join(missing)}, so the prefix mask cannot be installed: try another release of {supported('transformers')}."
        )


def install() -> None:
    """Patch `HrmTextModel.forward` and `HrmTextForCausalLM.prepare_inputs_for_generation`; a second call does nothing.

    Raises:
        UserError: if this Transformers release has changed the signatures that are wrapped.
    """
    if _originals:
        return
    forward = HrmTextModel.forward
    prepare = HrmTextForCausalLM.prepare_inputs_for_generation
    register()
    _check_signature(
        forward,
        ("input_ids", "attention_mask", "position_ids", CACHE, "token_type_ids", "inputs_embeds"),
    )
    _check_signature(prepare, ("input_ids", "next_sequence_length", CACHE, "is_first_iteration"))
    _originals.update({HrmTextModel: forward, HrmTextForCausalLM: prepare})
    setattr(HrmTextModel, "forward", _patched_forward(forward))  # noqa: B010  mypy knows methods are not assigned to
    setattr(HrmTextForCausalLM, "prepare_inputs_for_generation", _patched_prepare(prepare))  # noqa: B010
    for name in _CONTINUOUS_BATCHING:
        setattr(HrmTextForCausalLM, name, _refuse_continuous_batching)


def uninstall() -> None:
    """Put Transformers back as it was. For tests that show what the seam protects from."""
    if not _originals:
        return
    setattr(HrmTextModel, "forward", _originals.pop(HrmTextModel))  # noqa: B010
    _originals.pop(HrmTextForCausalLM)
    # Inherited from GenerationMixin before the patch: deleting ours uncovers theirs again.
    for name in ("prepare_inputs_for_generation", *_CONTINUOUS_BATCHING):
        delattr(HrmTextForCausalLM, name)
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


install()

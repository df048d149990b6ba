"""Prefix-mask patch of Transformers' HrmText classes, so that every trainer and sampler gets the prefix mask.

The backbone class is patched, because TRL's fused head calls the backbone, TRL loads further models by name, and
accelerate and PEFT wrap instances. If the prefix mask cannot be built, the forward raises PrefixMaskError; it never
falls back to a causal mask.
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
from hrm_align.models.attention import BY_DOCUMENT, PLAN, Plan, make_plan, placeholder_mask, register
from hrm_align.models.intervals import Intervals, PrefixMaskError, build_attention_mask, visible_intervals
from hrm_align.releases import supported
from hrm_align.rendering import Layout

# Name of the cache in forwards and their outputs: Transformers 5.24 renamed `past_key_values` to `cache`.
CACHE = "cache" if "cache" in inspect.signature(HrmTextModel.forward).parameters else "past_key_values"
_CACHE_MARK = "hrm_prefix_length"  # set on a cache that was filled under the prefix mask
_CONTINUOUS_BATCHING = ("generate_batch", "init_continuous_batching")
_originals: dict[type, Callable[..., Any]] = {}


def _cached_length(cache: Cache | None) -> int:
    # Not `is_initialized`: a static cache stays "initialized" after reset(), and its next prompt would get a causal mask.
    return 0 if cache is None else int(cache.get_seq_length())


class _Mask(NamedTuple):
    """Mask or attention plan of one backbone call, and the intervals if the call prefills a prompt."""

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
    """Choose how a backbone call attends; arguments are those of the forward, (batch, seq) where they are 2-D."""
    if attention_mask is not None and len(attention_mask.shape) == 4:
        return _Mask(_given_mask(attention_mask, model))
    if _cached_length(cache) > 0:
        _check_continuation(model, input_ids, cache, token_type_ids)
        return _Mask(attention_mask)  # response tokens after a whole prompt are causal
    intervals = visible_intervals(input_ids, Layout.of(model.config), attention_mask, position_ids, token_type_ids)
    tokens = input_ids if input_ids is not None else inputs_embeds
    assert tokens is not None  # otherwise `visible_intervals` has raised
    kv_length = None if cache is None else cache.get_mask_sizes(tokens.shape[1], 0)[0]
    kernel = str(model.config._attn_implementation)
    by_document = kernel in BY_DOCUMENT and kv_length in (None, tokens.shape[1])
    if by_document and (plan := make_plan(kernel, intervals)) is not None:
        return _Mask(placeholder_mask(), intervals, plan)
    return _Mask(build_attention_mask(intervals, model.config, model.dtype, kv_length), intervals)


def _given_mask(mask: Any, model: HrmTextModel) -> Any:
    """Return a caller's 4-D mask; a bool mask becomes additive for eager attention, which would add 0 and 1 to the scores."""
    if model.config._attn_implementation != "eager" or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=model.dtype).masked_fill(~mask, torch.finfo(model.dtype).min)


def mark_joined(cache: Cache) -> None:
    """Mark a cache that was joined from caches of whole prompts; the prompts' ends are then known to the caller only."""
    setattr(cache, _CACHE_MARK, 0)


def _mark(cache: Cache | None, intervals: Intervals | None) -> None:
    """Mark a cache that holds a whole prompt, with the prompt's length (0 if the caller passed a mask of its own)."""
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
    # Assisted decoding crops the prompt's last token and feeds it again: exact, because <|im_end|> sees the whole prompt.
    if prefix_length == cached + 1 and input_ids is not None and (input_ids[:, 0] == end_id).all():
        return
    if prefix_length is None or cached < prefix_length:
        raise PrefixMaskError(
            "the cache was not filled by a whole prompt under the prefix mask (prefix tuning, a cropped or rebuilt cache?). "
            "Start from an empty cache and the whole prompt."
        )
    if token_type_ids is not None and token_type_ids[:, -1:].bool().any():
        raise PrefixMaskError("a prompt cannot be added to a live cache. Start from an empty cache.")
    # A single <|im_end|> is a sampled answer token; a prompt has more tokens. Candidates of assisted decoding have type 0.
    if token_type_ids is not None or input_ids is None or input_ids.shape[1] == 1:
        return
    if (input_ids == end_id).any():
        raise PrefixMaskError(
            "the tokens contain <|im_end|>, but the cache already holds a prompt: a second turn or a chunk of a prompt would "
            "get a causal mask. Render the whole conversation as one prompt and start from an empty cache."
        )


def _pop_cache(cache: Cache | None, kwargs: dict[str, Any]) -> Cache | None:
    """Return the cache under either of its names; PEFT passes `past_key_values` in every release."""
    by_old_name = kwargs.pop("past_key_values", None)
    return by_old_name if cache is None else cache


def _patched_forward(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the backbone's forward with the prefix mask.

    The wrapped forward also takes `tokens_to_score`, (tokens,) indices into the flattened (batch * seq) tokens, in any
    order and with repetitions. The head then gets the hidden states of these tokens only, (1, tokens, hidden), which
    saves memory and time.
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
        cache, intervals = _pop_cache(cache, kwargs), None
        if self.config.prefix_lm:
            attention_mask, intervals, plan = _backbone_mask(
                self, input_ids, attention_mask, position_ids, cache, token_type_ids, inputs_embeds
            )
            token_type_ids = None  # the mask already contains them
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
        if self.config.prefix_lm:  # a cache that was filled under `causal_prompt` must not be marked
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
        cache = _pop_cache(cache, kwargs)
        if self.config.prefix_lm and (inputs_embeds is None or not is_first_iteration):
            # `generate` extends the token types by their last value, 1: without a cache the answer would join the prefix.
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
    """Check the prompt of `generate`; for a preallocated cache, build the mask here, before the compiled forward."""
    if attention_mask is not None and len(attention_mask.shape) == 4:
        return attention_mask
    if attention_mask is not None and not attention_mask[:, -1].all():
        raise PrefixMaskError(
            "the prompts are padded on the right, so the answer would begin after padding. For generation, pad them on the "
            "left (tokenizer.padding_side = 'left')."
        )
    positions, types = kwargs.get("position_ids"), kwargs.get("token_type_ids")
    intervals = visible_intervals(input_ids, Layout.of(model.config), attention_mask, positions, types)
    if cache is None or not cache.is_compileable:
        return attention_mask
    kv_length, _ = cache.get_mask_sizes(input_ids.shape[1], 0)
    return build_attention_mask(intervals, model.config, model.dtype, kv_length)


def _check_live_prefill(
    model: HrmTextForCausalLM, input_ids: Tensor, length: int | None, is_first_iteration: bool | None
) -> None:
    new = input_ids if length is None else input_ids[:, -length:]
    if is_first_iteration and (new == Layout.of(model.config).prefix_end).any():
        raise PrefixMaskError(
            "generate got a prompt and a live cache (a second turn, or prefill_chunk_size): the prompt would get a causal "
            "mask. Render the whole conversation as one prompt, start from an empty cache, and leave prefill_chunk_size unset."
        )


def _refuse_continuous_batching(self: HrmTextForCausalLM, *args: Any, **kwargs: Any) -> None:
    raise PrefixMaskError(
        "continuous batching (generate_batch, use_transformers_paged) applies a causal mask to every prompt. Use generate "
        "instead."
    )


def _check_signature(function: Callable[..., Any], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in inspect.signature(function).parameters]
    if missing:
        raise UserError(
            f"the prefix mask cannot be installed: in transformers {transformers.__version__} {function.__qualname__} no "
            f"longer takes {', '.join(missing)}. Try another release of {supported('transformers')}."
        )


def install() -> None:
    """Patch `HrmTextModel.forward` and `HrmTextForCausalLM.prepare_inputs_for_generation`; a second call does nothing.

    Raises:
        UserError: if the wrapped signatures differ in this Transformers release.
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


def is_installed() -> bool:
    """Return whether Transformers' classes run under the prefix mask."""
    return bool(_originals)


def uninstall() -> None:
    """Remove the patch. For tests that show the faults that the patch prevents."""
    if not _originals:
        return
    setattr(HrmTextModel, "forward", _originals.pop(HrmTextModel))  # noqa: B010
    _originals.pop(HrmTextForCausalLM)
    # Before the patch these were inherited from GenerationMixin: deleting the attributes restores the inherited ones.
    for name in ("prepare_inputs_for_generation", *_CONTINUOUS_BATCHING):
        delattr(HrmTextForCausalLM, name)
    assert HrmTextForCausalLM.prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation


@contextmanager
def causal_prompt(model: PreTrainedModel) -> Iterator[None]:
    """Run the model with a causal mask on the prompt, as stock trainers do; only to measure the effect of the prefix mask."""
    config: Any = model.config
    before, config.prefix_lm = config.prefix_lm, False
    try:
        yield
    finally:
        config.prefix_lm = before


install()

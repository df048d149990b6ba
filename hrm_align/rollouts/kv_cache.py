"""KV caches for decoding: with preallocated room for new tokens, and with one copy of a prompt for all its completions.

Transformers' cache is copied for each new token. HRM-Text stores keys and values of every stack pass (128 cache layers
in the published model), so that at 1,024 tokens each copy is 1.6 GB per sequence. Transformers' cache also holds a
prompt once per completion, and copies it whenever completions are removed. `SharedCache` holds each prompt once, and
the generated tokens of each completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

from hrm_align.models.varlen import cast_like_autocast

MORE_TOKENS = 32  # tokens by which a full cache grows


class SlotLayer(DynamicLayer):
    """Keys and values of one stack pass, (batch, heads, seq, dim) each: views of longer tensors with room for more tokens."""

    _roomy: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append states (batch, heads, new, dim); returns all keys and values. Tensors returned earlier remain valid."""
        key_states, value_states = cast_like_autocast(key_states), cast_like_autocast(value_states)
        if not self.is_initialized:
            return super().update(key_states, value_states)
        assert self.keys is not None and self.values is not None
        length, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        if self._roomy is None or self._roomy[0].shape[-2] < end:
            self._roomy = (_with_room(self.keys, end), _with_room(self.values, end))
        keys, values = self._roomy
        keys[:, :, length:end], values[:, :, length:end] = key_states, value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Select or repeat rows by their indices (rows,), with the same room."""
        if self.keys is None or self.values is None:
            return
        length = self.keys.shape[-2]
        keys, values = self._roomy or (self.keys, self.values)
        keys, values = keys[indices], values[indices]
        self._roomy = (keys, values)
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def join(self, other: SlotLayer) -> None:
        """Append the rows of another batch, see `joined`."""
        self._replace(joined(self.keys, other.keys), joined(self.values, other.values))

    def drop_front(self, columns: int) -> None:
        """Remove this many of the oldest tokens."""
        assert self.keys is not None and self.values is not None
        self._replace(self.keys[:, :, columns:], self.values[:, :, columns:])

    def _replace(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values, self._roomy = keys, values, None


def _with_room(states: Tensor, end: int) -> Tensor:
    """Copy states (batch, heads, length, dim) to the front of a tensor (batch, heads, end + MORE_TOKENS, dim)."""
    batch, heads, length, dim = states.shape
    longer = torch.empty(batch, heads, end + MORE_TOKENS, dim, dtype=states.dtype, device=states.device)
    longer[:, :, :length] = states
    return longer


def slot_cache() -> Cache:
    """Make an empty cache of `SlotLayer`s, for sampling. Cropping and reordering are not supported."""
    return Cache(layer_class_to_replicate=SlotLayer)


def joined(states: Tensor | None, others: Tensor | None) -> Tensor:
    """Concatenate two batches (batch, heads, seq, dim), aligned at the end; the shorter one is left-padded with zeros.

    Zeros, because hidden positions are multiplied by 0, which NaN would survive.
    """
    assert states is not None and others is not None
    width = max(states.shape[2], others.shape[2])
    return torch.cat([pad(part, (0, 0, width - part.shape[2], 0)) for part in (states, others)])


def left_pad(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Left-pad prompts to a batch: token ids and attention mask, both (batch, seq)."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


class SharedLayer(SlotLayer):
    """KV cache of one stack pass: keys and values of the prompts, and separately those of the completions.

    `prompts` has keys and values (prompts, heads, seq, dim); `keys` and `values` are (answers, heads, written, dim).
    """

    prompts: tuple[Tensor, Tensor] | None = None

    def begin_answers(self, answers: int) -> None:
        """Store the prefilled keys and values as those of the prompts, and start with `answers` empty completions."""
        assert self.keys is not None and self.values is not None
        self.prompts = (self.keys, self.values)
        self.keys, self.values = (states.new_empty(answers, *states.shape[1:])[:, :, :0] for states in self.prompts)

    def join(self, other: SlotLayer) -> None:
        """Append the prompts and completions of another batch."""
        assert self.prompts is not None and isinstance(other, SharedLayer) and other.prompts is not None
        super().join(other)
        self.prompts = (joined(self.prompts[0], other.prompts[0]), joined(self.prompts[1], other.prompts[1]))


def attend_shared(
    query: Tensor,
    prompts: tuple[Tensor, Tensor],
    key: Tensor,
    value: Tensor,
    hidden: Tensor,
    beyond: Tensor | None,
    places: Tensor | None,
    group: int,
    scaling: float,
) -> Tensor:
    """Compute attention of new tokens with one softmax over the keys of the prompt and of the completion itself.

    The completions of a prompt share one matrix product with the prompt's keys.

    Args:
        query: (answers, heads, 1, dim).
        prompts: keys and values of the prompts, (prompts, heads, seq, dim).
        key, value: keys and values of the completions, (answers, heads, written, dim).
        hidden: (prompts, 1, 1, seq) bool, padding of the prompts.
        beyond: (answers or 1, 1, 1, written) bool, empty slots of completions; None for none.
        places: (answers,), index of each completion in prompts x group; None if every group is full.
        group: largest number of completions per prompt.
        scaling: factor of the scores.

    Returns:
        (answers, 1, heads, dim).
    """
    prompt_keys, prompt_values = prompts
    # Scores with the prompt (prompts, heads, group, seq), and with the completion's own tokens (answers, heads, 1, written).
    grouped_query = _group_rows(query, len(hidden), group, places)
    scores = (grouped_query @ prompt_keys.transpose(-1, -2)).masked_fill(hidden, float("-inf"))
    own = query @ key.transpose(-1, -2)
    if beyond is not None:
        own = own.masked_fill(beyond, float("-inf"))
    # One softmax over both.
    weights = (torch.cat([_ungroup_rows(scores, places), own], dim=-1) * scaling).softmax(dim=-1, dtype=torch.float32)
    on_prompt, on_own = weights.to(value.dtype).split([scores.shape[-1], own.shape[-1]], dim=-1)
    # Weighted sums of the prompt's and the completion's values.
    grouped_weights = _group_rows(on_prompt, len(hidden), group, places)
    return (_ungroup_rows(grouped_weights @ prompt_values, places) + on_own @ value).transpose(1, 2)


def _group_rows(rows: Tensor, prompts: int, group: int, places: Tensor | None) -> Tensor:
    """Reshape (answers, heads, 1, n) to (prompts, heads, group, n), with 0 in places without a completion."""
    _answers, heads, _, n = rows.shape
    if places is not None:
        rows = rows.new_zeros(prompts * group, heads, 1, n).index_copy(0, places, rows)
    return rows.view(prompts, group, heads, n).transpose(1, 2)


def _ungroup_rows(groups: Tensor, places: Tensor | None) -> Tensor:
    """Reshape (prompts, heads, group, n) to (answers, heads, 1, n), the inverse of `_group_rows`."""
    prompts, heads, group, n = groups.shape
    rows = groups.transpose(1, 2).reshape(prompts * group, heads, 1, n)
    return rows if places is None else rows[places]


class SharedCache(Cache):
    """KV cache of prompts and their completions; after `begin_answers` also the attention plan of new tokens.

    Args:
        mask: (prompts, seq), 1 for a token.
        prompt_of: (answers,), row of each completion's prompt, in ascending order.
    """

    layers: Any  # list of `layer_class`
    layer_class: type[SharedLayer] = SharedLayer
    attention = staticmethod(attend_shared)
    beyond: Tensor | None = None  # (answers or 1, 1, 1, written) bool, empty slots of completions; None for none
    _blank: Tensor | None = None  # (answers,), number of empty slots in front of each completion; None before a `join`

    def __init__(self, mask: Tensor, prompt_of: Tensor):
        super().__init__(layer_class_to_replicate=self.layer_class)
        self._hidden = ~mask.bool()[:, None, None]  # (prompts, 1, 1, seq)
        self._regroup(prompt_of)

    def _regroup(self, prompt_of: Tensor) -> None:
        """Compute each completion's place in its prompt's group; there are (prompts, group) places."""
        self.prompt_of, prompts = prompt_of, len(self._hidden)
        sizes = prompt_of.bincount(minlength=prompts)
        before = sizes.cumsum(0) - sizes  # (prompts,), number of completions of earlier prompts
        self._group = int(sizes.max())
        number = torch.arange(len(prompt_of), device=prompt_of.device) - before[prompt_of]
        self._places = prompt_of * self._group + number
        self._is_whole = len(prompt_of) == prompts * self._group

    def begin_answers(self) -> None:
        """Start decoding after the prefill: from now on each call adds one token to every completion."""
        for layer in self.layers:
            layer.begin_answers(len(self.prompt_of))

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """Append states to a layer; the next call of `attend` is for this layer."""
        written = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        self._current = self.layers[layer_idx].prompts
        width = written[0].shape[2]
        if self._blank is not None and (self.beyond is None or self.beyond.shape[-1] != width):
            self.beyond = torch.arange(width, device=self._blank.device) < self._blank[:, None, None, None]
        return written

    def keep(self, answers: Tensor) -> None:
        """Keep only some completions, by their indices (kept,) in order, and the prompts that still have completions."""
        for layer in self.layers:
            layer.batch_select_indices(answers)
        left, prompt_of = self.prompt_of[answers].unique_consecutive(return_inverse=True)
        if len(left) < len(self._hidden):
            self._hidden = self._hidden[left]
            for layer in self.layers:
                layer.prompts = tuple(states[left] for states in layer.prompts)
        self._regroup(prompt_of)
        if self._blank is not None:
            self._blank, self.beyond = self._blank[answers], None
            self._trim()

    def join(self, other: SharedCache) -> None:
        """Append the prompts and completions of another cache; shorter completions get empty slots in front."""
        caches = (self, other)
        # Empty slots in front of each completion, after aligning both caches at the end.
        written = [cache.layers[0].keys.shape[2] for cache in caches]
        blanks = [torch.zeros_like(cache.prompt_of) if cache._blank is None else cache._blank for cache in caches]
        longest = max(written)
        self._blank = torch.cat([blank + longest - length for blank, length in zip(blanks, written, strict=True)])
        self.beyond = None
        for layer, more in zip(self.layers, other.layers, strict=True):
            layer.join(more)
        # Padding of the prompts, aligned at the end too.
        prompts, width = len(self._hidden), max(self._hidden.shape[-1], other._hidden.shape[-1])
        self._hidden = torch.cat(
            [pad(hidden, (width - hidden.shape[-1], 0), value=True) for hidden in (self._hidden, other._hidden)]
        )
        self._regroup(torch.cat([self.prompt_of, other.prompt_of + prompts]))

    def _trim(self) -> None:
        """Drop leading slots that are empty in all prompts or in all completions, so that long-running batches stay small."""
        assert self._blank is not None
        blank, padding = int(self._blank.min()), int((~self._hidden).any(dim=0).flatten().int().argmax())
        if blank:
            self._blank = self._blank - blank
        self._hidden = self._hidden[..., padding:]
        for layer in self.layers:
            if blank:
                layer.drop_front(blank)
            if padding:
                layer.prompts = tuple(states[:, :, padding:] for states in layer.prompts)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Compute attention of one new token per completion to its prompt and to the tokens written so far.

        Args:
            query: (answers, heads, 1, dim).
            key, value: (answers, heads, written, dim), as returned by `update`.
            scaling: factor of the scores.
            dropout: ignored; there is none in sampling.

        Returns:
            (answers, 1, heads, dim).
        """
        assert self._current is not None and scaling is not None
        places = None if self._is_whole else self._places
        return self.attention(query, self._current, key, value, self._hidden, self.beyond, places, self._group, scaling)

"""KV caches for decoding: one with room for new tokens, and one in which answers share their prompt's keys and values.

Transformers' cache copies itself for each new token. HRM-Text keeps keys and values of every stack pass, 128 slots a token in
the published model: at 1,024 tokens each copy is 1.6 GB a sequence. It also holds a prompt once for each of its answers, and
copies it whenever answers are taken out. `SharedCache` holds it once, and the answers hold what they have written themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

MORE_TOKENS = 32  # of room, each time that it runs out


class SlotLayer(DynamicLayer):
    """Keys and values of one stack pass, (batch, heads, seq, dim) each, as views of tensors that have room behind them."""

    _roomy: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append states; what has been returned before stays valid."""
        key_states, value_states = as_read(key_states), as_read(value_states)
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
        """Keep some rows, or repeat them, with as much room."""
        if self.keys is None or self.values is None:
            return
        length = self.keys.shape[-2]
        keys, values = self._roomy or (self.keys, self.values)
        keys, values = keys[indices], values[indices]
        self._roomy = (keys, values)
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def join(self, other: SlotLayer) -> None:
        """Take another batch's rows behind the own ones, see `joined`."""
        self._replace(joined(self.keys, other.keys), joined(self.values, other.values))

    def drop_front(self, columns: int) -> None:
        """Forget so many of the oldest tokens."""
        assert self.keys is not None and self.values is not None
        self._replace(self.keys[:, :, columns:], self.values[:, :, columns:])

    def _replace(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values, self._roomy = keys, values, None


def as_read(states: Tensor) -> Tensor:
    """In the precision that autocast gives attention: the rotary embedding leaves float32, which would be cast at each token."""
    device = states.device.type
    return states.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else states


def _with_room(states: Tensor, end: int) -> Tensor:
    """The same states at the front of a longer tensor."""
    batch, heads, length, dim = states.shape
    longer = torch.empty(batch, heads, end + MORE_TOKENS, dim, dtype=states.dtype, device=states.device)
    longer[:, :, :length] = states
    return longer


def slot_cache() -> Cache:
    """An empty cache of `SlotLayer`s, for sampling. Not to be cropped or reordered."""
    return Cache(layer_class_to_replicate=SlotLayer)


def joined(states: Tensor | None, others: Tensor | None) -> Tensor:
    """Two batches (batch, heads, seq, dim) as one, flush at the end; the shorter one is padded with zeros in front.

    Zeros: what is hidden is multiplied by a weight of 0, which NaN would survive.
    """
    assert states is not None and others is not None
    width = max(states.shape[2], others.shape[2])
    return torch.cat([pad(part, (0, 0, width - part.shape[2], 0)) for part in (states, others)])


def left_padded(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Prompts as a batch that ends flush: ids and attention mask, both (batch, seq)."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


class SharedLayer(SlotLayer):
    """Of one stack pass: keys and values of the prompts, and behind them, set apart, those of the answers."""

    prompts: tuple[Tensor, Tensor] | None = None

    def begin_answers(self, answers: int) -> None:
        """Take what has been written as the prompts, and hold so many answers of no token yet."""
        assert self.keys is not None and self.values is not None
        self.prompts = (self.keys, self.values)
        self.keys, self.values = (states.new_empty(answers, *states.shape[1:])[:, :, :0] for states in self.prompts)

    def join(self, other: SlotLayer) -> None:
        """Take another batch's prompts and answers behind the own ones."""
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
    """One softmax over the prompt's keys, which a group of answers reads together, and each answer's own.

    Args:
        query: (answers, heads, 1, dim).
        prompts: keys and values, (prompts, heads, seq, dim).
        key, value: of the answers, (answers, heads, written, dim).
        hidden: (prompts, 1, 1, seq), padding of the prompts.
        beyond: (answers or 1, 1, 1, written), places of answers that hold nothing; None where there are none.
        places: (answers,) of each answer among prompts x group; None where every group is full.
        group: answers to a prompt, at most.
        scaling: of the scores.

    Returns:
        (answers, 1, heads, dim).
    """
    prompt_keys, prompt_values = prompts
    scores = (_together(query, len(hidden), group, places) @ prompt_keys.transpose(-1, -2)).masked_fill(
        hidden, float("-inf")
    )
    own = query @ key.transpose(-1, -2)
    if beyond is not None:
        own = own.masked_fill(beyond, float("-inf"))
    weights = (torch.cat([_apart(scores, places), own], dim=-1) * scaling).softmax(dim=-1, dtype=torch.float32)
    on_prompt, on_own = weights.to(value.dtype).split([scores.shape[-1], own.shape[-1]], dim=-1)
    together = _together(on_prompt, len(hidden), group, places)
    return (_apart(together @ prompt_values, places) + on_own @ value).transpose(1, 2)


def _together(rows: Tensor, prompts: int, group: int, places: Tensor | None) -> Tensor:
    """(answers, heads, 1, n) to (prompts, heads, group, n), 0 in places without an answer."""
    _answers, heads, _, n = rows.shape
    if places is not None:
        rows = rows.new_zeros(prompts * group, heads, 1, n).index_copy(0, places, rows)
    return rows.view(prompts, group, heads, n).transpose(1, 2)


def _apart(groups: Tensor, places: Tensor | None) -> Tensor:
    """The way back."""
    prompts, heads, group, n = groups.shape
    rows = groups.transpose(1, 2).reshape(prompts * group, heads, 1, n)
    return rows if places is None else rows[places]


class SharedCache(Cache):
    """The cache of prompts and their answers; from `begin_answers` on also the plan by which a new token attends.

    Args:
        mask: (prompts, seq), 1 for a token.
        prompt_of: for each answer the row of its prompt.
    """

    layers: Any  # of `layer_class`
    layer_class: type[SharedLayer] = SharedLayer
    attention = staticmethod(attend_shared)
    beyond: Tensor | None = None  # (answers or 1, 1, 1, written), places that hold nothing; None where there are none
    _blank: Tensor | None = None  # (answers,), how many such places stand in front of each answer; None before a `join`

    def __init__(self, mask: Tensor, prompt_of: Tensor):
        super().__init__(layer_class_to_replicate=self.layer_class)
        self._hidden = ~mask.bool()[:, None, None]  # (prompts, 1, 1, seq)
        self._regroup(prompt_of)

    def _regroup(self, prompt_of: Tensor) -> None:
        """Give each answer a place among those to its prompt: (prompts, group) places in all."""
        self.prompt_of, prompts = prompt_of, len(self._hidden)
        sizes = prompt_of.bincount(minlength=prompts)
        before = sizes.cumsum(0) - sizes  # of each prompt, the answers to earlier ones: answers stand in that order
        self._group = int(sizes.max())
        number = torch.arange(len(prompt_of), device=prompt_of.device) - before[prompt_of]
        self._places = prompt_of * self._group + number
        self._is_whole = len(prompt_of) == prompts * self._group

    def begin_answers(self) -> None:
        """The prompts have been read: what comes is one token for every answer."""
        for layer in self.layers:
            layer.begin_answers(len(self.prompt_of))

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """Append to a layer, the one whose attention is asked for next."""
        written = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        self._current = self.layers[layer_idx].prompts
        width = written[0].shape[2]
        if self._blank is not None and (self.beyond is None or self.beyond.shape[-1] != width):
            self.beyond = torch.arange(width, device=self._blank.device) < self._blank[:, None, None, None]
        return written

    def keep(self, answers: Tensor) -> None:
        """Go on with some of the answers, in their order; prompts that have none left are dropped."""
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
        """Take another cache's prompts and answers behind the own ones. Answers that are shorter get blank places in front."""
        written, theirs = (cache.layers[0].keys.shape[2] for cache in (self, other))
        blank, their_blank = (
            torch.zeros_like(cache.prompt_of) if cache._blank is None else cache._blank for cache in (self, other)
        )
        longest = max(written, theirs)
        self._blank, self.beyond = torch.cat([blank + longest - written, their_blank + longest - theirs]), None
        for layer, more in zip(self.layers, other.layers, strict=True):
            layer.join(more)
        prompts, width = len(self._hidden), max(self._hidden.shape[-1], other._hidden.shape[-1])
        self._hidden = torch.cat(
            [pad(hidden, (width - hidden.shape[-1], 0), value=True) for hidden in (self._hidden, other._hidden)]
        )
        self._regroup(torch.cat([self.prompt_of, other.prompt_of + prompts]))

    def _trim(self) -> None:
        """Drop places in front that hold nothing in any prompt or any answer: batches that go on for hours stay small."""
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
        """Attention of one new token for each answer to its prompt and to what it has written.

        Args:
            query: (answers, heads, 1, dim).
            key, value: (answers, heads, written, dim), as `update` returned them.
            scaling: of the scores.
            dropout: none while sampling.

        Returns:
            (answers, 1, heads, dim).
        """
        assert self._current is not None and scaling is not None
        places = None if self._is_whole else self._places
        return self.attention(query, self._current, key, value, self._hidden, self.beyond, places, self._group, scaling)

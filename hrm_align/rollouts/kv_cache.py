"""A cache that has room: a new token's keys and values are written into it, where Transformers' copies all of it each time.

HRM-Text keeps keys and values of every stack pass, 128 slots a token in the published model: at 1,024 tokens a copy for each
new one is 1.6 GB a sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor
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

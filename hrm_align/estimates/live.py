"""The bytes of tensors that are held at a time, counted while operations run on tensors without content."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode


class Live(TorchDispatchMode):
    """A context in which the storages that operations make are counted until they are freed.

    Args:
        known: tensors that were there before and are not counted.

    Attributes:
        now: bytes that are held.
        peak: the most that were held at a time; set it to `now` to measure a part by itself.
    """

    def __init__(self, known: Iterable[Tensor] = ()):
        super().__init__()
        self.now = self.peak = 0
        self._known = [tensor.untyped_storage() for tensor in known]  # held, or their numbers would be used again
        self._seen = {storage._cdata for storage in self._known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it makes."""
        before = {t.untyped_storage()._cdata for t in _pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        output = function(*args, **(kwargs or {}))
        for tensor in _pytree.tree_leaves(output):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            number, size = storage._cdata, storage.nbytes()
            if number in self._seen or number in before:
                continue
            self._seen.add(number)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, number, size)
        return output

    def _free(self, number: int, size: int) -> None:
        self._seen.discard(number)
        self.now -= size

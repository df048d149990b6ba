"""The order of the rows as a function of seed and epoch, so that a resumed run sees the rows of the uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized

import torch
from torch.utils.data import Sampler

_EPOCHS = 1_000_003  # seeds of two runs stay apart for as many epochs


class EpochSeededSampler(Sampler[int]):
    """Draws another sampler's order from a generator of its own.

    Transformers' length-grouped and random samplers draw from the global generator, whose state in the second epoch
    depends on everything drawn before: after a resume the rows came in another order (weights off by 1e-3).

    Args:
        sampler: with an attribute `generator`.
        seed: of the run.
        epoch: tells the current epoch. Asked, not set: what a resumed loader wraps around a sampler in two processes
            lets no `set_epoch` through.
    """

    def __init__(self, sampler: Sampler[int], seed: int, epoch: Callable[[], int]):
        assert isinstance(sampler, Sized)
        self.sampler, self.seed, self.epoch = sampler, seed, epoch
        self._length = len(sampler)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self.seed * _EPOCHS + self.epoch())
        self.sampler.generator = generator  # type: ignore[attr-defined]
        return iter(self.sampler)

    def __len__(self) -> int:
        return self._length

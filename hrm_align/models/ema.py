"""Exponential moving average of the trained weights, as the official optimizer keeps it.

`ema = decay * ema + (1 - decay) * weight` after every optimizer step, from the weights before the first one
(sapientinc/HRM-Text, models/adam_atan2.py). Looked at and left: `torch.optim.swa_utils.AveragedModel` averages the same
way only if it is updated once before the first step, and copies a frozen base under an adapter; ema-pytorch's defaults
are another average.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from hrm_align.errors import UserError
from hrm_align.models.checkpoint_format import header_of

EMA_FILE = "ema.safetensors"


class WeightAverage:
    """The average of a model's trainable weights, beside the model: frozen weights are not copied.

    Args:
        model: unwrapped; float32 weights.
        decay: share of the old average that an update keeps. The official SFT uses 0.999, pretraining 0.9999.

    Raises:
        UserError: for a decay outside 0 to 1, or weights of lower precision, which an average would not move.
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0.0 < decay < 1.0:
            raise UserError(f"--ema_decay is {decay}: use a number between 0 and 1, such as 0.999.")
        self.decay = decay
        self.trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        low = next((weight.dtype for weight in self.trained.values() if weight.dtype != torch.float32), None)
        if low is not None:
            raise UserError(
                f"--ema_decay needs float32 weights, these are {str(low).removeprefix('torch.')}: an average of them "
                "moves 0.4 % of its entries in 40 steps. Set --dtype float32 (bf16 autocast may stay on)."
            )
        self.average = {name: weight.detach().clone() for name, weight in self.trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an optimizer step."""
        torch._foreach_lerp_(list(self.average.values()), list(self.trained.values()), 1.0 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Run with the averaged weights in the model; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self.trained.items():
            weight.data, self.average[name] = self.average[name], weight.data

    def save(self, folder: Path) -> None:
        """Write `ema.safetensors`, under the parameters' own names."""
        tensors = {name: tensor.contiguous() for name, tensor in self.average.items()}
        save_file(tensors, folder / EMA_FILE, metadata={"format": "pt", "decay": str(self.decay)})

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            UserError: if it holds no average, or that of other weights.
        """
        if not (folder / EMA_FILE).is_file():
            raise UserError(
                f"{folder} holds no {EMA_FILE}: it was saved by a run without --ema_decay. Leave the key out to go on."
            )
        saved = header_of(folder / EMA_FILE)
        wrong = sorted(saved.keys() ^ self.average.keys())
        wrong += [name for name, tensor in self.average.items() if name in saved and saved[name].shape != tensor.shape]
        if wrong:
            raise UserError(f"{folder / EMA_FILE} averages other weights than this run trains ({wrong[0]}, ...).")
        with torch.no_grad():
            for name, tensor in self.average.items():
                saved[name].copy_into([tensor])

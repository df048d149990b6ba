"""Exponential moving average (EMA) of the trained weights, as in the official optimizer.

`ema = decay * ema + (1 - decay) * weight` after every optimizer step, starting from the weights before the first step
(sapientinc/HRM-Text, models/adam_atan2.py). Rejected alternatives: `torch.optim.swa_utils.AveragedModel` computes the
same average only if updated once before the first step, and copies a frozen base under an adapter; ema-pytorch's
defaults compute another average.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from hrm_align.errors import UserError
from hrm_align.models.checkpoint_format import read_header

EMA_FILE = "ema.safetensors"


class WeightAverage:
    """Moving average of a model's trainable weights; frozen weights are not copied.

    Args:
        model: unwrapped model with float32 weights.
        decay: share of the old average in each update. The official SFT uses 0.999, pretraining 0.9999.

    Raises:
        UserError: for a decay outside 0 to 1, or weights in half precision, in which most updates of the average are
            rounded off.
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0.0 < decay < 1.0:
            raise UserError(f"invalid value for --ema_decay: {decay}. Use a number between 0 and 1, such as 0.999.")
        self.decay = decay
        self.trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        low = next((weight.dtype for weight in self.trained.values() if weight.dtype != torch.float32), None)
        if low is not None:
            raise UserError(
                f"--ema_decay needs float32 weights, and these are {str(low).removeprefix('torch.')}: rounding would keep all "
                "but 0.4 % of the averaged entries unchanged in 40 steps. Set --dtype float32 (bf16 autocast may stay on)."
            )
        self.average = {name: weight.detach().clone() for name, weight in self.trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current weights; call after every optimizer step."""
        torch._foreach_lerp_(list(self.average.values()), list(self.trained.values()), 1.0 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averaged weights into the model for a `with` block, by a swap without copies."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self.trained.items():
            weight.data, self.average[name] = self.average[name], weight.data

    def save(self, folder: Path) -> None:
        """Write the average to `ema.safetensors`, under the names of the parameters."""
        tensors = {name: tensor.contiguous() for name, tensor in self.average.items()}
        save_file(tensors, folder / EMA_FILE, metadata={"format": "pt", "decay": str(self.decay)})

    def load(self, folder: Path) -> None:
        """Load the average of a checkpoint, to resume a run.

        Raises:
            UserError: if the checkpoint has no average, or an average of other weights.
        """
        if not (folder / EMA_FILE).is_file():
            raise UserError(
                f"{folder} has no {EMA_FILE}, because its run had no --ema_decay. Leave --ema_decay out to resume from it."
            )
        saved = read_header(folder / EMA_FILE)
        wrong = sorted(saved.keys() ^ self.average.keys())
        wrong += [name for name, tensor in self.average.items() if name in saved and saved[name].shape != tensor.shape]
        if wrong:
            raise UserError(
                f"{folder / EMA_FILE} averages other weights than this run trains ({wrong[0]}, ...). Resume with the model and "
                "adapter settings of the checkpoint's run, or leave --ema_decay out."
            )
        with torch.no_grad():
            for name, tensor in self.average.items():
                saved[name].copy_into([tensor])

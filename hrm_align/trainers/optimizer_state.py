"""An optimizer's state whole, as one process would save it, out of slices and back into them.

FSDP's own format (`optimizer.bin`, keyed by name) is read by FSDP alone. In this one a run may go on sharded or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from hrm_align.models.sharding import shard_like, whole_tensor


def save_sharded(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path, keep: bool) -> None:
    """Write the files of optimizer and scheduler that a run without FSDP writes. Collective.

    Args:
        optimizer: of sharded weights.
        scheduler: of its rates.
        folder: of the checkpoint.
        keep: whether this process writes.
    """
    state = gather_optimizer_state(optimizer, keep)
    if keep:
        torch.save(state, folder / OPTIMIZER_NAME)
        torch.save(scheduler.state_dict(), folder / SCHEDULER_NAME)


def load_sharded(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path) -> None:
    """Resume from the files of `save_sharded`, or of a run without FSDP; each process reads its slices."""
    saved = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True, mmap=True)
    load_optimizer_state(optimizer, saved)
    scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))


def gather_optimizer_state(optimizer: torch.optim.Optimizer, keep: bool) -> dict[str, Any]:
    """`optimizer.state_dict()` with whole tensors on the CPU. Collective: every process must call it.

    Args:
        optimizer: of sharded weights.
        keep: whether this process wants it; the others get the same without tensors.
    """
    saved = optimizer.state_dict()
    states: dict[int, dict[str, Any]] = {}
    for index, state in saved["state"].items():
        states[index] = {}
        for name, value in state.items():
            whole = whole_tensor(value) if isinstance(value, Tensor) else value
            if keep:
                states[index][name] = whole.cpu() if isinstance(whole, Tensor) else whole
    return {**saved, "state": states}


def load_optimizer_state(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load a whole state into an optimizer of sharded weights; each process takes its slices.

    Args:
        optimizer: that has the same parameters in the same order.
        saved: as `state_dict()` of one process gives it; every process has read it.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    states = {
        index: {name: _cut(weights[index], value) for name, value in state.items()}
        for index, state in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": states})


def _cut(weight: Tensor, value: Any) -> Any:
    is_per_entry = isinstance(value, Tensor) and value.shape == weight.shape  # a step count is not
    return shard_like(weight, value) if is_per_entry else value

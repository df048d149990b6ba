"""Training under FSDP2 as under DDP: the same gradients, the same half precision. A mixin under `Stabilised`.

Measured against DDP on two processes: tests/trainers/test_fsdp.py.

The state of an optimizer of sharded weights is saved whole, as one process would save it, and loaded into slices. FSDP's own
format (`optimizer.bin`, keyed by name) is read by FSDP alone; from this one a run may go on sharded or not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate.utils import convert_outputs_to_fp32
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from hrm_align.models.lm_head import head_as_a_layer, head_layer
from hrm_align.models.sharding import (
    call_with_whole_weights,
    gather_head_in_forward,
    is_sharded,
    shard_like,
    whole_tensor,
)

_Base: Any = Trainer if TYPE_CHECKING else object

Result = TypeVar("Result")


class FullySharded(_Base):
    """What TRL's loop lacks where FSDP2 shards the model; without FSDP it changes nothing."""

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_fsdp_enabled:
            return super()._prepare_for_training(*args, **kwargs)
        self._autocast_forward()
        with head_as_a_layer(self.model):
            prepared = super()._prepare_for_training(*args, **kwargs)
        assert is_sharded(self.model)  # what compiles or wraps it besides is refused by check_launch
        gather_head_in_forward(self.model, head_layer(self.model))
        return prepared

    def _autocast_forward(self) -> None:
        """Let autocast decide what is computed in half precision, as accelerate does without FSDP.

        Its FSDP policy instead casts every weight and the residual stream, and sums gradients over processes in bf16: 1.5 %
        away from the DDP gradient of the tiny base, which itself is 1 % from float32's.
        """
        self.accelerator.state.fsdp_plugin.mixed_precision_policy = None
        forward = self.model.forward
        if not self.accelerator.native_amp or hasattr(forward, "is_autocast"):
            return

        @functools.wraps(forward)
        def autocast_forward(*args: Any, **kwargs: Any) -> Any:
            with self.accelerator.autocast():
                return forward(*args, **kwargs)

        self.model.forward = convert_outputs_to_fp32(autocast_forward)
        self.model.forward.is_autocast = True

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        return whole_tensor(norm) if isinstance(norm, Tensor) else norm

    def call_with_model(self, function: Callable[[Any], Result]) -> Result:
        """`function(model)` with the bare model, its weights whole on every process; for answers, not for training."""
        bare = self.accelerator.unwrap_model(self.model)
        if not self.is_fsdp_enabled:
            return function(bare)
        if not is_sharded(bare):  # before training, Transformers leaves it on the CPU for FSDP
            bare.to(self.args.device)
            try:
                return function(bare)
            finally:
                bare.to("cpu")
        return call_with_whole_weights(bare, function, bool(self.accelerator.state.fsdp_plugin.reshard_after_forward))


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

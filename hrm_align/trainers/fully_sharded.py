"""Mixin for FSDP2: the same gradients and the same half precision as DDP, and optimizer checkpoints that any launch can read.

tests/trainers/test_fsdp.py compares it with DDP on two processes.

The state of a sharded optimizer is saved whole, in the format of a single process, and split again when it is loaded. FSDP's own
format (`optimizer.bin`, keyed by name) can be read by FSDP only; from ours a run can be resumed with or without FSDP.
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
    """Mixin below `Stabilised` that makes TRL's trainers work with FSDP2; without FSDP it changes nothing."""

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_fsdp_enabled:
            return super()._prepare_for_training(*args, **kwargs)
        self._autocast_forward()
        with head_as_a_layer(self.model):
            prepared = super()._prepare_for_training(*args, **kwargs)
        assert is_sharded(self.model)  # check_launch refuses torch.compile and other wrappers
        gather_head_in_forward(self.model, head_layer(self.model))
        return prepared

    def _autocast_forward(self) -> None:
        """Let autocast choose what is computed in half precision, as accelerate does without FSDP.

        accelerate's FSDP policy casts every weight and the residual stream instead, and reduces gradients in bf16. On the tiny
        base that gradient differs by 1.5 % from DDP's, which itself differs by 1 % from float32's.
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
        """Call `function(model)` with the unwrapped model and whole weights on every process; not for training."""
        bare = self.accelerator.unwrap_model(self.model)
        if not self.is_fsdp_enabled:
            return function(bare)
        if not is_sharded(bare):  # before training: Transformers leaves an FSDP model on the CPU until then
            bare.to(self.args.device)
            try:
                return function(bare)
            finally:
                bare.to("cpu")
        return call_with_whole_weights(bare, function, bool(self.accelerator.state.fsdp_plugin.reshard_after_forward))


def save_sharded(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path, keep: bool) -> None:
    """Write optimizer and scheduler in the files and format of a run without FSDP. Collective.

    Args:
        optimizer: optimizer of sharded weights.
        scheduler: learning rate scheduler.
        folder: folder of the checkpoint.
        keep: whether this process writes the files.
    """
    state = gather_optimizer_state(optimizer, keep)
    if keep:
        torch.save(state, folder / OPTIMIZER_NAME)
        torch.save(scheduler.state_dict(), folder / SCHEDULER_NAME)


def load_sharded(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path) -> None:
    """Load the files of `save_sharded`, or of a run without FSDP; each process keeps its shards."""
    saved = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True, mmap=True)
    load_optimizer_state(optimizer, saved)
    scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))


def gather_optimizer_state(optimizer: torch.optim.Optimizer, keep: bool) -> dict[str, Any]:
    """Return `optimizer.state_dict()` with whole tensors on the CPU. Collective: every process must call it.

    Args:
        optimizer: optimizer of sharded weights.
        keep: whether this process keeps the tensors; the other processes get the same dict without tensors.
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
    """Load a whole optimizer state into an optimizer of sharded weights; each process keeps its shards.

    Args:
        optimizer: an optimizer with the same parameters in the same order.
        saved: the `state_dict()` of a single process, on every process.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    states = {
        index: {name: _shard_state(weights[index], value) for name, value in state.items()}
        for index, state in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": states})


def _shard_state(weight: Tensor, value: Any) -> Any:
    is_per_entry = isinstance(value, Tensor) and value.shape == weight.shape  # moments are, a step count is not
    return shard_like(weight, value) if is_per_entry else value

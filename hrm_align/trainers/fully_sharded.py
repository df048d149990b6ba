"""Training under FSDP2 as under DDP: the same gradients, the same half precision. A mixin under `Stabilised`.

Measured against DDP on two processes: tests/trainers/test_fsdp.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from accelerate.utils import convert_outputs_to_fp32
from torch import Tensor, nn
from transformers import Trainer

from hrm_align.models.lora import head_as_a_layer, head_layer
from hrm_align.models.sharding import call_with_whole_weights, gather_head_in_forward, is_sharded, whole_tensor

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

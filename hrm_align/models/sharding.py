"""Helpers for models that FSDP2 has sharded: each process holds a slice of every weight, as a `DTensor`.

    local_part(weight)                   the slice of this process, for sums and copies
    gather(tensors, keep)                whole tensors on the CPU, gathered one at a time, for saving
    all_finite(tensors)                  whether the slices of this process are finite numbers
    fill(own, whole)                     copies a whole tensor into a sharded one, for loading
    call_inside_forward(model, f)        f(model) inside a forward of the root, which calls of submodules require
    call_with_whole_weights(model, f)    the same with all weights gathered, so that f may generate
    gather_head_in_forward(model, head)  gathers the output head before TRL's fused loss uses its weight

All of them also work on models that are not sharded, and then change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.hooks import RemovableHandle

_CALL = "_call_inside_forward"  # name of the method that FSDP wraps with its hooks

Result = TypeVar("Result")


def is_sharded(model: nn.Module) -> bool:
    """Return whether FSDP2 has sharded the model, which `accelerator.prepare` does."""
    return isinstance(model, FSDPModule)


def is_sharded_inside(module: nn.Module) -> bool:
    """Return whether FSDP2 has sharded the module or any submodule."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


def local_part(tensor: Tensor) -> Tensor:
    """Return the slice of a tensor that this process holds, sharing its memory; a plain tensor is returned itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole_tensor(tensor: Tensor) -> Tensor:
    """Gather a tensor from the slices of all processes, on its device. Collective: every process must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Gather whole tensors on the CPU, in the mapping's order. Collective: every process must call it.

    Args:
        tensors: tensors of a sharded model or optimizer, by name.
        keep: whether this process keeps the whole tensors; otherwise it takes part and returns an empty dict. A device
            holds at most one whole tensor at a time.
    """
    gathered = {}
    for name, tensor in tensors.items():
        whole = whole_tensor(tensor.detach())
        if keep:
            gathered[name] = whole.cpu()
    return gathered


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether floating-point tensors have neither NaN nor infinity, by one reduction per tensor and without a copy.

    If a tensor has a NaN, `torch.aminmax` returns NaN. `torch.isfinite` would allocate one byte per weight, and takes
    at least twenty times as long on a CPU.
    """
    parts = (local_part(tensor.detach()) for tensor in tensors)
    floats = [part for part in parts if part.is_floating_point() and part.numel()]
    finite = [torch.isfinite(torch.stack(torch.aminmax(tensor))).all() for tensor in floats]
    return not finite or bool(torch.stack(finite).all())  # a single synchronisation with the GPU


def fill(own: Tensor, whole: Tensor) -> None:
    """Copy a whole tensor, which every process has loaded, into a sharded or plain tensor."""
    if isinstance(own, DTensor):
        whole = shard_like(own, whole)
    with torch.no_grad():
        local_part(own).copy_(local_part(whole))


def shard_like(own: Tensor, whole: Tensor) -> Tensor:
    """Shard a whole tensor (on any device) like `own`, on the device of `own`, without communication."""
    if not isinstance(own, DTensor):
        return whole
    return distribute_tensor(whole.to(own.device), own.device_mesh, own.placements, src_data_rank=None)


def reshard(model: nn.Module) -> None:
    """Free the whole weights that a forward without a backward has left gathered, so that only slices remain."""
    for module in _sharded_modules(model):
        module.reshard()


def call_inside_forward(model: nn.Module, function: Callable[[nn.Module], Result]) -> Result:
    """Call `function(model)` inside FSDP's hooks of the root.

    A submodule that is called outside the root's forward would become a root of its own, and the next step would fail.

    Args:
        model: the root.
        function: function that may call submodules; every process must call the same ones.
    """
    if not is_sharded(model):
        return function(model)
    if not hasattr(model, _CALL):
        setattr(model, _CALL, MethodType(_call, model))
        register_fsdp_forward_method(model, _CALL)
    result: Result = getattr(model, _CALL)(function)
    return result


def _call(model: nn.Module, function: Callable[[nn.Module], Result]) -> Result:
    return function(model)


@torch.no_grad()
def call_with_whole_weights(
    model: nn.Module, function: Callable[[nn.Module], Result], reshards_after_forward: bool = False
) -> Result:
    """Call `function(model)` with all weights gathered, so that processes may run different numbers of forwards (generation).

    Every device needs memory for the whole model, as in a training step without `fsdp_reshard_after_forward`.

    Args:
        model: the root.
        function: function without gradients.
        reshards_after_forward: whether submodules are configured to free their whole weights after each forward; this
            setting is restored afterwards.
    """
    if not is_sharded(model):
        return function(model)
    modules = _sharded_modules(model)

    def call(root: nn.Module) -> Result:
        for module in modules:
            module.unshard()
            module.set_reshard_after_forward(False, recurse=False)
        return function(root)

    try:
        return call_inside_forward(model, call)
    finally:
        for module in modules:
            module.set_reshard_after_forward(reshards_after_forward and module is not model, recurse=False)
        reshard(model)


def _sharded_modules(model: nn.Module) -> list[FSDPModule]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def gather_head_in_forward(model: nn.Module, head: nn.Module) -> RemovableHandle | None:
    """Add a hook with which each forward of a sharded model gathers its output head first.

    TRL's fused head uses the weight and never calls the layer, so that FSDP neither gathers the weight nor reduces its
    gradient. TRL's own gathering loses the gradients of other processes (docs/upstream/trl_fused_head_fsdp2.md). With
    this hook the weight is a plain parameter when TRL uses it, and FSDP reduces its gradient after the backward pass
    like all others.

    Args:
        model: the root.
        head: the layer with the head's weights.

    Returns:
        Handle of the hook; None if no hook is needed.
    """
    if not (is_sharded(model) and isinstance(head, FSDPModule)):
        return None  # the root gathers a head that is not sharded separately

    def gather_head(root: nn.Module, args: Any) -> None:
        head.unshard()

    return model.register_forward_pre_hook(gather_head)  # runs after FSDP's own hook, which FSDP registers as the first

"""Models whose weights FSDP2 has sharded: each process holds a slice of every weight, as a `DTensor`.

    local_part(weight)                   the slice of this process: what sums and copies work on
    gather_state(model, keep)            whole tensors on the CPU, one gathered at a time: what is saved
    all_finite(tensors)                  whether the slices of this process are finite numbers
    fill(own, whole)                     the way back: what is loaded
    call_inside_forward(model, f)        f(model) as a forward of the root, which everything beside it must be
    call_with_whole_weights(model, f)    the same, and no collective inside f, so that f may generate
    gather_head_in_forward(layer)        the output head whole before TRL's fused loss reads its weight

A model that is not sharded passes through all of them unchanged.
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

_CALL = "_call_inside_forward"  # the method that FSDP's hooks stand around

Result = TypeVar("Result")


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP2 has sharded a model (before `accelerator.prepare` it has not)."""
    return isinstance(model, FSDPModule)


def is_sharded_inside(module: nn.Module) -> bool:
    """Whether FSDP2 shards parts of a module by themselves."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


def local_part(tensor: Tensor) -> Tensor:
    """The slice of a tensor that this process holds, sharing its memory; a plain tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole_tensor(tensor: Tensor) -> Tensor:
    """A tensor with the slices of all processes, on its device. Collective: every process must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole copies on the CPU, in the mapping's order. Collective.

    Args:
        tensors: of a sharded model or optimizer.
        keep: whether this process wants them; the others take part and return nothing. A device never holds more than
            one of them whole.
    """
    kept = {}
    for name, tensor in tensors.items():
        whole = whole_tensor(tensor.detach())
        if keep:
            kept[name] = whole.cpu()
    return kept


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether floating point tensors hold neither NaN nor infinity, by one reduction of each and without a copy.

    A NaN anywhere is both the least and the largest entry. `torch.isfinite` fills as many bytes as there are weights, and
    takes twenty times as long or more on a CPU.
    """
    parts = (local_part(tensor.detach()) for tensor in tensors)
    floats = [part for part in parts if part.is_floating_point() and part.numel()]
    finite = [torch.isfinite(torch.stack(torch.aminmax(tensor))).all() for tensor in floats]
    return not finite or bool(torch.stack(finite).all())  # read once: a read waits for the GPU


def fill(own: Tensor, whole: Tensor) -> None:
    """Copy a whole tensor, which every process has read for itself, into a sharded or plain one."""
    if isinstance(own, DTensor):
        whole = shard_like(own, whole)
    with torch.no_grad():
        local_part(own).copy_(local_part(whole))


def shard_like(own: Tensor, whole: Tensor) -> Tensor:
    """A whole tensor (any device) cut as `own` is cut, on its device; without communication."""
    if not isinstance(own, DTensor):
        return whole
    return distribute_tensor(whole.to(own.device), own.device_mesh, own.placements, src_data_rank=None)


def reshard(model: nn.Module) -> None:
    """Give up the whole weights that a forward without a backward has left gathered; afterwards all are slices."""
    for module in _sharded_modules(model):
        module.reshard()


def call_inside_forward(model: nn.Module, function: Callable[[nn.Module], Result]) -> Result:
    """`function(model)`, with FSDP's hooks of the root around it.

    A submodule that is called beside the root's forward becomes a root of its own, and the next step fails.

    Args:
        model: the root.
        function: may call submodules; every process must call the same ones.
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
    """`function(model)` with every weight gathered, so that processes need not keep step inside it; for generation.

    Takes the memory of the whole model on each device, as a training step does without `fsdp_reshard_after_forward`.

    Args:
        model: the root.
        function: draws no gradient.
        reshards_after_forward: whether all but the root otherwise give up their weights behind each forward.
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
    """Let each forward of a sharded model gather its output head first.

    TRL's fused head reads the weight and never calls the layer, so that FSDP neither gathers it nor reduces its gradient;
    TRL's own gathering loses the other processes' gradients (docs/upstream/trl_fused_head_fsdp2.md). Gathered here, the
    weight is a plain parameter when TRL reads it, and FSDP reduces its gradient behind the backward pass as all others.

    Args:
        model: the root.
        head: the layer that holds the head's weights.
    """
    if not (is_sharded(model) and isinstance(head, FSDPModule)):
        return None  # without a shard group of its own, the root gathers it

    def gather_head(root: nn.Module, args: Any) -> None:
        head.unshard()

    return model.register_forward_pre_hook(gather_head)  # runs behind FSDP's own, which FSDP puts first

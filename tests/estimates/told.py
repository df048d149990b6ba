"""Figures that the command prints, and the bytes that autograd saves."""

import json
from contextlib import contextmanager

import torch
from torch.profiler import ProfilerActivity, profile

from hrm_align.cli import dispatch, run_with_exit_code


def main(argv):
    return run_with_exit_code(dispatch, argv)


def estimate(capsys, recipe, *flags):
    assert main(["estimate", "--config", str(recipe), "--json", *map(str, flags)]) == 0
    return json.loads(capsys.readouterr().out)


@contextmanager
def kept_by_autograd():
    """The storages of what is kept for a backward, by their place."""
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage  # held, so that its place is not used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept


def size_without_weights(kept, model):
    """Bytes of storages, the model's parameters left out."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    return sum(storage.nbytes() for place, storage in kept.items() if place not in weights)


def peak_of(work):
    """Most bytes that PyTorch holds beyond what it held before, by the allocations and frees that its profiler records."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = sorted(
        (e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()
    )
    held = peak = 0
    for event in events:
        held += event.nbytes()
        peak = max(peak, held)
    return peak

"""Choose how many rows a forward takes (`auto_batch`): as many as fit into memory, with the same rows per optimizer step.

The other rows of a step are accumulated. Activations are recomputed in the backward only if not even one row fits otherwise. The
result of a step stays the same, except for the last step of an epoch on several processes, which accelerate fills up with other
rows. The choice is made by `hrm_align.estimates` before weights are loaded, from the free memory of the GPU, or of the machine or
container that the processes share.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import HrmTextConfig

from hrm_align.errors import UserError
from hrm_align.estimates.model import GIB
from hrm_align.estimates.sft import estimate_sft
from hrm_align.run_folder import read_run_record
from hrm_align.trainers.sft_config import SFTArguments, SFTRecipe


@dataclass(frozen=True)
class Split:
    """Split of an optimizer step's rows on each device.

    Args:
        rows: rows per forward.
        forwards: forwards per optimizer step.
        is_recomputed: whether activations are recomputed in the backward.
    """

    rows: int
    forwards: int
    is_recomputed: bool

    @classmethod
    def of(cls, args: SFTArguments) -> Split:
        """Return the split that the settings have."""
        recomputed = bool(args.activation_checkpointing)
        return cls(args.per_device_train_batch_size, args.gradient_accumulation_steps, recomputed)

    @property
    def step(self) -> int:
        """Rows per optimizer step."""
        return self.rows * self.forwards

    def apply(self, args: SFTArguments) -> None:
        """Write this split into the settings."""
        args.per_device_train_batch_size, args.gradient_accumulation_steps = self.rows, self.forwards
        args.activation_checkpointing = args.gradient_checkpointing = self.is_recomputed


def settle_batch(recipe: SFTRecipe, config: HrmTextConfig, resumed: Path | None) -> str:
    """Choose the split for `auto_batch`. A resumed run keeps its split if it fits, so that it continues bit for bit.

    Args:
        recipe: the recipe; its training settings are changed.
        config: config of its model.
        resumed: the checkpoint to resume from; None for a run from the start.

    Returns:
        A line about the choice, to print.

    Raises:
        UserError: if not even one row fits, or if the resumed run had another number of rows per step.
    """
    args, requested = recipe.training, Split.of(recipe.training)
    memory = free_memory(bool(args.use_cpu)) if args.auto_batch_memory is None else int(args.auto_batch_memory * GIB)
    memory = min(gather_object([memory]))  # all devices must make the same choice
    before = None if resumed is None else _read_split(resumed)
    if before is not None and before.step != requested.step:
        raise UserError(
            f"{resumed} was trained with {before.step} rows per step on each device, but this run has {requested.step}: resume "
            "with the same per_device_train_batch_size and gradient_accumulation_steps."
        )
    if before is not None and requested.is_recomputed and not before.is_recomputed:
        before = None  # activation checkpointing was turned on since, e.g. after running out of memory
    if before is not None and (needed := _apply_and_estimate(recipe, config, before)) <= memory:
        return _describe(before, needed, memory, "as before it was resumed, ")
    split = fitting(recipe, config, requested, memory)
    return _describe(split, _apply_and_estimate(recipe, config, split), memory)


def _describe(split: Split, needed: int, memory: int, why: str = "") -> str:
    recomputed = ", activations recomputed in the backward" if split.is_recomputed else ""
    rows = f"{split.rows} rows a forward, {split.forwards} forwards a step{recomputed}"
    return f"auto_batch: {rows}; {why}estimated to need {_gib(needed)} of {_gib(memory)} GiB"


def _apply_and_estimate(recipe: SFTRecipe, config: HrmTextConfig, split: Split) -> int:
    """Write the split into the settings, and return the estimated bytes on each device."""
    split.apply(recipe.training)
    return estimate_sft(recipe, config, PartialState().num_processes, not recipe.training.use_cpu).total


def fitting(recipe: SFTRecipe, config: HrmTextConfig, requested: Split, memory: int) -> Split:
    """Return the split with the most rows per forward that fits into `memory` bytes. Changes the recipe's settings.

    Raises:
        UserError: if not even one row fits.
    """
    processes = PartialState().num_processes
    for recomputed in (True,) if requested.is_recomputed else (False, True):
        whole = Split(requested.step, 1, recomputed)  # without accumulation, no second copy of the gradients is held
        if _apply_and_estimate(recipe, config, whole) <= memory:
            return whole
        Split(1, requested.step, recomputed).apply(recipe.training)
        single = estimate_sft(recipe, config, processes, not recipe.training.use_cpu)
        most = single.largest_batch(memory)
        if most:
            rows = max(rows for rows in range(1, min(most, requested.step) + 1) if requested.step % rows == 0)
            return Split(rows, requested.step // rows, recomputed)
    raise UserError(
        f"not even one row of max_length {recipe.training.max_length} fits into {_gib(memory)} GiB: it needs "
        f"{_gib(single.total)} GiB (`hrm-align estimate --per_device_train_batch_size 1 --activation_checkpointing --processes "
        f"{processes}` lists the parts). Use a smaller max_length, or an adapter (use_peft: true) on a base in dtype bfloat16."
    )


def _read_split(checkpoint: Path) -> Split | None:
    """Return the split of the run that saved a checkpoint; None if its record is missing."""
    settings = read_run_record(checkpoint, "resolved.yaml")
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps", "activation_checkpointing")
    return Split(*(settings[key] for key in keys)) if settings else None


def _gib(size: int) -> str:
    return f"{size / GIB:.3g}"


USED = 0.9  # share of the free memory to use; the rest is left for the allocator and CUDA's libraries
# Files of a container's memory limit, its current use, and its statistics with the name of reclaimable cache (v2, then v1).
CONTAINERS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def free_memory(use_cpu: bool) -> int:
    """Return the bytes that a run may use on its device: on a GPU the free memory, on a CPU this process's share of it."""
    if torch.cuda.is_available() and not use_cpu:
        return int(USED * torch.cuda.mem_get_info(PartialState().device)[0])
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", PartialState().num_processes))  # processes on this machine
    return int(USED * min(psutil.virtual_memory().available, _left_to_the_container()) / sharing)


def _left_to_the_container() -> float:
    """Return the bytes left below the limit of a container, which psutil does not show; infinite without a limit."""
    for limit, held, statistics, cache in CONTAINERS:
        path = CONTROL_GROUPS / limit
        if path.is_file() and (most := path.read_text().strip()).isdigit():  # "max" means no limit
            counted = dict(line.split() for line in (CONTROL_GROUPS / statistics).read_text().splitlines())
            used = int((CONTROL_GROUPS / held).read_text()) - int(counted.get(cache, 0))
            return max(0, int(most) - used)
    return math.inf

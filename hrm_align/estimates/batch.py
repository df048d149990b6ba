"""How many rows a forward takes: the most that fit, while an optimizer step stays what the recipe says.

Rows that do not fit together are accumulated, and activations are computed again in the backward only where not even one row
fits without. Neither changes what a step learns from, but for the last one of an epoch on several processes, which accelerate
fills up with other rows. It is decided by `hrm_align.estimates`, before a weight is loaded, from the memory that a run may
take: of its GPU, or of a machine or container that its processes share.
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
from hrm_align.run_folder import record_of
from hrm_align.trainers.sft_config import SFTArguments, SFTRecipe


@dataclass(frozen=True)
class Split:
    """How the rows of an optimizer step are computed on each device.

    Args:
        rows: of a forward.
        forwards: of a step.
        is_recomputed: whether activations are computed again in the backward.
    """

    rows: int
    forwards: int
    is_recomputed: bool

    @classmethod
    def of(cls, args: SFTArguments) -> Split:
        """As the settings have it."""
        recomputed = bool(args.activation_checkpointing)
        return cls(args.per_device_train_batch_size, args.gradient_accumulation_steps, recomputed)

    @property
    def step(self) -> int:
        """Rows of an optimizer step."""
        return self.rows * self.forwards

    def apply(self, args: SFTArguments) -> None:
        """Make these the settings."""
        args.per_device_train_batch_size, args.gradient_accumulation_steps = self.rows, self.forwards
        args.activation_checkpointing = args.gradient_checkpointing = self.is_recomputed


def settle_batch(recipe: SFTRecipe, config: HrmTextConfig, resumed: Path | None) -> str:
    """Do what `auto_batch` asks for. A resumed run keeps its split where it fits, so that it goes on bit by bit.

    Args:
        recipe: whose settings are changed.
        config: of its model.
        resumed: the checkpoint that the run goes on from.

    Returns:
        What was decided, for people.

    Raises:
        UserError: if not even one row fits, or if the run that is resumed had other steps.
    """
    args, asked = recipe.training, Split.of(recipe.training)
    memory = free_memory(bool(args.use_cpu)) if args.auto_batch_memory is None else int(args.auto_batch_memory * GIB)
    memory = min(gather_object([memory]))  # all devices must decide alike
    before = None if resumed is None else _recorded(resumed)
    if before is not None and before.step != asked.step:
        raise UserError(
            f"{resumed} is of a run with {before.step} rows a step on each device, this one has {asked.step}: resume with the "
            "same per_device_train_batch_size and gradient_accumulation_steps."
        )
    if before is not None and asked.is_recomputed and not before.is_recomputed:
        before = None  # asked for since, as after running out of memory
    if before is not None and (taken := _taken(recipe, config, before)) <= memory:
        return _told(before, taken, memory, "as before it was resumed, ")
    split = fitting(recipe, config, asked, memory)
    return _told(split, _taken(recipe, config, split), memory)


def _told(split: Split, taken: int, memory: int, why: str = "") -> str:
    again = ", activations computed again in the backward" if split.is_recomputed else ""
    told = f"{split.rows} rows a forward, {split.forwards} forwards a step{again}"
    return f"auto_batch: {told}; {why}{_gib(taken)} of {_gib(memory)} GiB by the estimate"


def _taken(recipe: SFTRecipe, config: HrmTextConfig, split: Split) -> int:
    """Bytes that the recipe takes on each device when it is split so; it is split so from then on."""
    split.apply(recipe.training)
    return estimate_sft(recipe, config, PartialState().num_processes, not recipe.training.use_cpu).total


def fitting(recipe: SFTRecipe, config: HrmTextConfig, asked: Split, memory: int) -> Split:
    """The largest forward that fits into so many bytes. Changes the recipe's settings on the way.

    Raises:
        UserError: if not even one row does.
    """
    processes = PartialState().num_processes
    for recomputed in (True,) if asked.is_recomputed else (False, True):
        whole = Split(asked.step, 1, recomputed)  # accumulates nothing, so that no gradients wait beside the new ones
        if _taken(recipe, config, whole) <= memory:
            return whole
        Split(1, asked.step, recomputed).apply(recipe.training)
        found = estimate_sft(recipe, config, processes, not recipe.training.use_cpu)
        most = found.largest_batch(memory)
        if most:
            rows = max(rows for rows in range(1, min(most, asked.step) + 1) if asked.step % rows == 0)
            return Split(rows, asked.step // rows, recomputed)
    raise UserError(
        f"not even one row of max_length {recipe.training.max_length} fits into {_gib(memory)} GiB: it takes "
        f"{_gib(found.total)} (`hrm-align estimate --per_device_train_batch_size 1 --activation_checkpointing --processes "
        f"{processes}` says for what). Try a smaller max_length, or an adapter (use_peft: true) on a base in dtype bfloat16."
    )


def _recorded(checkpoint: Path) -> Split | None:
    """How the run of a checkpoint split its steps; None where its record is gone."""
    found = record_of(checkpoint, "resolved.yaml")
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps", "activation_checkpointing")
    return Split(*(found[key] for key in keys)) if found else None


def _gib(size: int) -> str:
    return f"{size / GIB:.3g}"


USED = 0.9  # of what is free; the rest is the allocator's, and what CUDA loads
# Where a container's limit stands, what it holds, and how much of that is cache that goes when it is needed.
CONTAINERS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def free_memory(use_cpu: bool) -> int:
    """Bytes that a run may take on its device: on a GPU what is free there, on a CPU this process's share of it."""
    if torch.cuda.is_available() and not use_cpu:
        return int(USED * torch.cuda.mem_get_info(PartialState().device)[0])
    together = int(os.environ.get("LOCAL_WORLD_SIZE", PartialState().num_processes))  # processes that share it
    return int(USED * min(psutil.virtual_memory().available, _left_to_the_container()) / together)


def _left_to_the_container() -> float:
    """Bytes below the limit of a container, which the machine's own figure does not show; infinite without one."""
    for limit, held, statistics, cache in CONTAINERS:
        path = CONTROL_GROUPS / limit
        if path.is_file() and (most := path.read_text().strip()).isdigit():  # "max" is none
            counted = dict(line.split() for line in (CONTROL_GROUPS / statistics).read_text().splitlines())
            used = int((CONTROL_GROUPS / held).read_text()) - int(counted.get(cache, 0))
            return max(0, int(most) - used)
    return math.inf

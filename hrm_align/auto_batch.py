"""How many rows a forward takes: the most that fit, while an optimizer step stays what it was asked to be.

Rows that do not fit together are accumulated, and activations are computed again in the backward only where not even one row
fits without. Both change nothing in what is learnt. It is decided by `hrm_align.estimate`, before a weight is loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
import yaml
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import HrmTextConfig

from hrm_align.configs import SFTArguments, SFTRecipe
from hrm_align.errors import UserError
from hrm_align.estimate import GIB, Estimate, estimate_sft

USED = 0.9  # of what is free; the rest is the allocator's, and what CUDA loads
CONTAINER = Path("/sys/fs/cgroup")  # its limit, which the machine's own figure does not show


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
        """Set it."""
        args.per_device_train_batch_size, args.gradient_accumulation_steps = self.rows, self.forwards
        args.activation_checkpointing = args.gradient_checkpointing = self.is_recomputed


def settle_batch(recipe: SFTRecipe, config: HrmTextConfig, resumed: Path | None) -> str:
    """Do what `auto_batch` asks for. A resumed run keeps its split, on which the order of its rows depends.

    Args:
        recipe: whose settings are changed.
        config: of its model.
        resumed: the checkpoint that the run goes on from.

    Returns:
        What was decided, for people.

    Raises:
        UserError: if not even one row fits, if weights are split over devices, which is not counted, or if the run that is
            resumed had other steps.
    """
    args = recipe.training
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise UserError("auto_batch does not count weights that FSDP splits: set per_device_train_batch_size yourself.")
    before = None if resumed is None else _recorded(resumed)
    if before is not None:
        if before.step != Split.of(args).step:
            raise UserError(
                f"{resumed} is of a run with {before.step} rows a step on each device, this one has {Split.of(args).step}: "
                "resume with the same per_device_train_batch_size and gradient_accumulation_steps."
            )
        split, reason = before, "as before it was resumed"
    else:
        memory = free_memory(args) if args.auto_batch_memory is None else int(args.auto_batch_memory * GIB)
        memory = min(gather_object([memory]))  # all devices must decide alike
        split, found = fitting(recipe, config, memory)
        reason = f"{_gib(found.total)} of {_gib(memory)} GiB by the estimate"
    split.apply(args)
    again = ", activations computed again in the backward" if split.is_recomputed else ""
    return f"auto_batch: {split.rows} rows a forward, {split.forwards} forwards a step{again}; {reason}"


def fitting(recipe: SFTRecipe, config: HrmTextConfig, memory: int) -> tuple[Split, Estimate]:
    """The largest forward that fits into so many bytes, and what it takes. Leaves the settings of a smaller one behind.

    Raises:
        UserError: if not even one row does.
    """
    args, asked, processes = recipe.training, Split.of(recipe.training), PartialState().num_processes
    for recomputed in (True,) if asked.is_recomputed else (False, True):
        Split(1, asked.step, recomputed).apply(args)
        found = estimate_sft(recipe, config, processes)
        most = found.largest_batch(memory)
        if most:
            rows = max(rows for rows in range(1, min(most, asked.step) + 1) if asked.step % rows == 0)
            return Split(rows, asked.step // rows, recomputed), replace(found, rows=rows)
    raise UserError(
        f"not even one row of max_length {args.max_length} fits into {_gib(memory)} GiB: it takes {_gib(found.total)} "
        "(`hrm-align estimate` says for what). Try a smaller max_length, or an adapter (use_peft: true) on a base in "
        "dtype bfloat16."
    )


def free_memory(args: SFTArguments) -> int:
    """Bytes that a run may take on its device."""
    if torch.cuda.is_available() and not args.use_cpu:
        return int(USED * torch.cuda.mem_get_info(PartialState().device)[0])
    available, limit, held = psutil.virtual_memory().available, CONTAINER / "memory.max", CONTAINER / "memory.current"
    if limit.is_file() and (most := limit.read_text().strip()).isdigit():  # "max" is none
        available = min(available, int(most) - int(held.read_text()))
    return int(USED * available / PartialState().num_processes)  # which share it


def _recorded(checkpoint: Path) -> Split | None:
    """How the run of a checkpoint split its steps; None where its record is gone."""
    record = checkpoint.parent / "run" / "resolved.yaml"
    if not record.is_file():
        return None
    found = yaml.safe_load(record.read_text(encoding="utf-8"))
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps", "activation_checkpointing")
    return Split(*(found[key] for key in keys))


def _gib(size: int) -> str:
    return f"{size / GIB:.3g}"

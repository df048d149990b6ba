"""The rows that an epoch trains on and the rows that it leaves out, counted on the trainer's own data loader.

    35 prompts, 8 of them a step: an epoch trains on 32 and leaves out 3
    2 prompts, 4 of them a step: an epoch has no step, so the run is refused before it starts

A rollout of GRPO takes whole groups, and `dataloader_drop_last` takes whole batches: the rows that do not fill the last one are
left out. The order of rows changes with the epoch, so that other rows are left out in the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.trainer_pt_utils import BatchRebalanceSampler
from trl.trainer.utils import RepeatSampler

from hrm_align.data.packing import EpochSeededSampler
from hrm_align.errors import UserError


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training set trains on.

    Attributes:
        rows: rows of the training set: documents, packed rows, or prompts.
        used: rows that an epoch trains on.
        taken: rows that a batch or a rollout takes whole, over all processes.
        unit: what a row is, in the plural.
        taker: what takes the rows, in words: "a step" or "a rollout".
        remedy: how to let an epoch train on fewer rows.
    """

    rows: int
    used: int
    taken: int
    unit: str
    taker: str
    remedy: str

    @classmethod
    def of(cls, trainer: Any) -> Epoch:
        """Count the rows of an epoch of a trainer, from the data loader that its training will use."""
        if getattr(trainer, "stream", None) is not None:
            return _streamed(trainer.args)
        with torch.random.fork_rng(devices=[]):
            sampler = trainer._get_train_sampler()
            sampler = sampler.sampler if isinstance(sampler, EpochSeededSampler) else sampler
            if isinstance(sampler, RepeatSampler):
                return _rollouts(trainer.args, sampler)
            return _batches(trainer, isinstance(sampler, BatchRebalanceSampler))

    def check(self) -> None:
        """Raise UserError if an epoch has no step."""
        if not self.used:
            left = f"1 {self.unit.removesuffix('s')} is" if self.rows == 1 else f"{self.rows} {self.unit} are"
            raise UserError(
                f"{left} left to train on, but {self.taker} takes {self.taken}, so the run would train "
                f"nothing. {self.remedy}, or add {self.unit}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the counts for run/data.json."""
        return {"unit": self.unit, "rows": self.rows, "used": self.used, "left_out": self.rows - self.used}

    def __str__(self) -> str:
        """Return a line to print; empty if an epoch trains on every row."""
        if self.used == self.rows:
            return ""
        left_out = f"each epoch leaves out {self.rows - self.used} of {self.rows} {self.unit}"
        return f"{left_out}, because {self.taker} takes {self.taken}"


def _streamed(args: Any) -> Epoch:
    """Count the rows of a whole run on streamed rows, which has no epochs."""
    taken = args.train_batch_size * args.world_size * args.gradient_accumulation_steps
    return Epoch(args.max_steps * taken, args.max_steps * taken, taken, "streamed rows", "a step", "")


def _rollouts(args: Any, sampler: RepeatSampler) -> Epoch:
    used = len(sampler) // (sampler.mini_repeat_count * sampler.repeat_count)
    if not hasattr(args, "num_generations"):  # distillation: one completion of each prompt in a step
        size = "per_device_train_batch_size x gradient_accumulation_steps x processes"
        remedy = f"Lower {size} to at most {sampler.num_samples}"
        return Epoch(sampler.num_samples, used, sampler.batch_size, "prompts", "a step", remedy)
    answers = f"{args.generation_batch_size} answers, {args.num_generations} to each prompt"
    remedy = (
        f"A rollout has {answers}: lower per_device_train_batch_size x steps_per_generation x processes to at most "
        f"{sampler.num_samples * args.num_generations}"
    )
    is_a_step = args.steps_per_generation * args.num_iterations == args.gradient_accumulation_steps
    taker = "a step" if is_a_step else "a rollout"
    return Epoch(sampler.num_samples, used, sampler.batch_size, "prompts", taker, remedy)


def _batches(trainer: Any, by_step: bool) -> Epoch:
    """Count the rows of padded or packed batches; with `by_step`, of a sampler that balances the batches of a whole step."""
    args, loader, rows = trainer.args, trainer.get_train_dataloader(), len(trainer.train_dataset)
    per_batch = args.train_batch_size * (1 if args.accelerator_config.split_batches else args.world_size)
    taken = per_batch * args.gradient_accumulation_steps if by_step else per_batch
    batches = len(loader) // args.gradient_accumulation_steps if by_step else len(loader)
    used = min(rows, batches * taken) if args.dataloader_drop_last or not len(loader) else rows
    unit = "packed rows" if "documents" in trainer.train_dataset.column_names else "rows"
    split = f"per_device_train_batch_size {args.per_device_train_batch_size} x processes {args.world_size}"
    split += f" x gradient_accumulation_steps {args.gradient_accumulation_steps}" if by_step else ""
    remedy = f"Set dataloader_drop_last: false, or lower {split} to at most {rows}"
    taker = "a step" if by_step or args.gradient_accumulation_steps == 1 else "a batch"
    taker += " under dataloader_drop_last" if args.dataloader_drop_last else ""
    return Epoch(rows, used, taken, unit, taker, remedy)

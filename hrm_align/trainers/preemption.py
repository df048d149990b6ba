"""SIGTERM, which schedulers send some time before they kill: save at the next step's end and stop."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hrm_align.errors import Preempted


class Preemption(TrainerCallback):
    """Turns SIGTERM during training into a checkpoint and an early end.

    Attributes:
        asked: whether a process of this run was sent SIGTERM; the same on every process after a step.
    """

    def __init__(self) -> None:
        self.asked = False
        self._previous: Any = None

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Listen from here on; before, there is nothing to save."""
        self._previous = signal.signal(signal.SIGTERM, self._note)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Save and stop, on all processes at the same step, if any of them was asked to."""
        if args.world_size > 1:
            flag = torch.tensor(int(self.asked), device=args.device)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            self.asked = bool(flag)
        if self.asked:
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """A stop inside an epoch is not its end, whatever the loop says: no evaluation, no second checkpoint behind it.

        The grace that a scheduler gives is short, and the uninterrupted run evaluates nothing here.
        """
        inside = state.epoch is not None and not float(state.epoch).is_integer()
        if self.asked and inside and state.global_step < state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = False
        return control

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Give the signal back to whoever had it."""
        signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)

    def raise_if_asked(self, output_dir: Path, step: int) -> None:
        """Raise Preempted, which gives the exit code, after a run that was stopped and has saved."""
        if self.asked:
            raise Preempted(
                f"SIGTERM: saved {output_dir}/checkpoint-{step}; go on with the same command and "
                "--resume_from_checkpoint latest."
            )

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

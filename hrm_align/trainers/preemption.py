"""Preemption: after SIGTERM, which schedulers send some time before they kill, save as soon as possible and stop.

`Preemption` is the callback of a run. Work that is not worth finishing then (evaluations, guards, rollouts) runs inside
`interruptible`, and ends with `Interrupted`. `follow_launcher` keeps a run from outliving its launcher.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hrm_align.errors import Interrupted, Preempted, UserError

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
# Set by `accelerate launch` for each process that it starts, and by torchrun.
_LAUNCHERS = ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")


class Preemption(TrainerCallback):
    """Turns a signal during training into a checkpoint and an early end, on all processes at the same step.

    Args:
        earlier: the name of a signal besides SIGTERM, such as USR1, that a scheduler sends some minutes before.

    Attributes:
        agreed: whether a process of this run was signalled; the same on every process.

    Raises:
        UserError: if there is no such signal.
    """

    def __init__(self, earlier: str | None = None) -> None:
        self.agreed = False
        self._signals = [signal.SIGTERM, *([signal_of(earlier)] if earlier else [])]
        self._received: int | None = None
        self._previous: dict[int, Any] = {}
        self._is_open = False

    def __enter__(self) -> Preemption:
        """Listen beyond the end of training, until the run has saved its weights."""
        self._is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back to whoever had them."""
        self._is_open = False
        self.on_train_end()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Listen from here on; before, there is nothing to save."""
        for number in self._signals:
            self._previous[number] = signal.signal(number, self.note)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Give the signals back, unless the run goes on to save."""
        if not self._is_open:
            for number, previous in self._previous.items():
                signal.signal(number, previous or signal.SIG_DFL)
            self._previous = {}

    def agree(self) -> bool:
        """Whether any process was signalled. All processes must call it at the same point."""
        if dist.is_initialized() and dist.get_world_size() > 1:
            flag = torch.tensor(int(self._received is not None), device=PartialState().device)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            self.agreed = self.agreed or bool(flag)
        else:
            self.agreed = self.agreed or self._received is not None
        return self.agreed

    @contextmanager
    def interruptible(self, model: nn.Module) -> Iterator[None]:
        """A context for work that calls `model` and that may end with `Interrupted` at its next forward.

        Processes may be at different points in it, so it must not wait for the others; they agree at its end, where it ends
        with `Interrupted` on all or on none.
        """

        def stop_if_signalled(*args: Any) -> None:
            if self._received is not None:
                raise Interrupted

        handle = model.register_forward_pre_hook(stop_if_signalled)
        try:
            yield
        except Interrupted:
            pass
        finally:
            handle.remove()
        if self.agree():
            raise Interrupted

    def on_prediction_step(self, *args: Any, **kwargs: Any) -> None:
        """End the evaluation of a loss, in which all processes take the same number of steps."""
        if self._previous and self.agree():
            raise Interrupted

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Save and stop; evaluate nothing before: the grace that a scheduler gives is short."""
        if self.agree():
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """The loop takes every stop for the end of an epoch: no evaluation, and no second checkpoint behind the first."""
        if self.agreed and state.global_step < state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = False
        return control

    def raise_if_asked(self, output_dir: Path, step: int) -> None:
        """Raise Preempted, which gives the exit code, after a run that was stopped and has saved what there was."""
        if not self.agreed:
            return
        name = signal.Signals(self._received or signal.SIGTERM).name
        if step == 0:
            raise Preempted(f"{name} before the first step: there was nothing to save; give the same command again.")
        raise Preempted(
            f"{name}: saved {output_dir}/checkpoint-{step}; go on with the same command and "
            "--resume_from_checkpoint latest."
        )

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal; a handler of Python's."""
        self._received = number


def signal_of(name: str) -> signal.Signals:
    """The signal of a name such as USR1 or SIGUSR1. Raises UserError for another word."""
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    if full not in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGCONT", "SIGXCPU"):
        raise UserError(f"--preemption_signal {name}: use USR1, USR2, HUP, CONT or XCPU; SIGTERM always counts.")
    return signal.Signals[full]


def follow_launcher() -> None:
    """Let Linux send this process SIGTERM when the launcher that started it ends.

    `accelerate launch` with one process does not pass SIGTERM on: the training ran on behind it as an orphan. Nothing is
    done for a process that no launcher has started, which may well outlive its shell.
    """
    if sys.platform != "linux" or not any(name in os.environ for name in _LAUNCHERS):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    adopted = os.getppid() == 1 and b"python" not in Path("/proc/1/cmdline").read_bytes()
    if adopted:  # the launcher has ended before; in a container it may itself be process 1
        os.kill(os.getpid(), signal.SIGTERM)

"""Callbacks of a run: metrics.jsonl, the claim on the folder, preemption, and the launcher.

`Preemption` saves a checkpoint and stops soon after SIGTERM, which schedulers send some time before they kill a job. Work that is
not worth finishing then (evaluations, guard sets, rollouts, publishing) ends with `Interrupted`.
`follow_launcher` ends a run whose launcher has ended.
"""

from __future__ import annotations

import ctypes
import errno
import json
import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hrm_align.errors import Interrupted, Preempted, RunError, UserError
from hrm_align.signals import ignore_further_signals, leaving_at_once, request_leave, withdraw_leave
from hrm_align.trainers.claim import Claim

HEALTH = "health/"


def append_json_line(path: Path, record: dict[str, Any]) -> None:
    """Append one object to a JSONL file, atomically.

    NaN and infinity, which JSON does not have, are written as strings.

    Raises:
        RunError: if the disk is full or refuses the write.
    """
    named = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    line = (json.dumps(named, ensure_ascii=False) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            if file.write(line) < len(line):  # half a line would make the file unreadable
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise RunError(
            f"cannot write a line of {len(line):,} bytes to {path} ({error.strerror}): free some disk space, and resume with "
            "--resume_from_checkpoint latest."
        ) from error


class MetricsFile(TrainerCallback):
    """Writes every log record to `metrics.jsonl`, whatever trackers are configured.

    Args:
        path: path of the file; records are appended.
        resumed: the checkpoint to resume from. A line `{"step": N, "resumed_from": ...}` is written then: records above that
            line with later steps belong to weights that were lost, and the same steps follow again. A run that was killed
            before its first checkpoint and starts again writes the line with null.
        changed: sentences on settings that differ from those of the resumed run; the line has them as `changed`.
    """

    def __init__(self, path: Path, resumed: Path | None = None, changed: Sequence[str] = ()):
        self.path, self.resumed, self.changed = path, resumed, changed

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **kwargs: Any) -> None:
        """Write the `resumed_from` line of a resumed run."""
        begins_again = self.resumed is None and self.path.exists()
        if state.is_world_process_zero and (self.resumed is not None or begins_again):
            resumed_from = None if begins_again else str(self.resumed)
            changed = {"changed": [*self.changed]} if self.changed else {}
            append_json_line(self.path, {"step": state.global_step, "resumed_from": resumed_from, **changed})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append the record, on the main process only."""
        if state.is_world_process_zero and logs:
            append_json_line(self.path, {"step": state.global_step, **logs})


_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
# Environment variables that `accelerate launch` and torchrun set for the processes they start.
_LAUNCHERS = ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")


class ClaimWatch(TrainerCallback):
    """Stops a run as soon as another run has taken over its folder, before anything else is written there.

    Args:
        claim: the claim on the main process; None on the other processes.
    """

    def __init__(self, claim: Claim | None):
        self.claim = claim

    def _check(self, *args: Any, **kwargs: Any) -> None:
        if self.claim is not None:
            self.claim.check()

    on_train_begin = on_step_end = on_log = on_evaluate = on_train_end = _check  # each comes before a write


class Preemption(TrainerCallback):
    """Turns a signal during training into a checkpoint and an early stop, on all processes at the same step.

    Args:
        earlier: name of a signal to handle besides SIGTERM, such as USR1, which a scheduler sends some minutes earlier.

    Attributes:
        earlier: the signal besides SIGTERM, if there is one.
        agreed: whether any process of this run received a signal; the same on every process.

    Raises:
        UserError: for an unsupported signal name.
    """

    def __init__(self, earlier: str | None = None) -> None:
        self.agreed = False
        self.earlier = [parse_signal(earlier)] if earlier else []
        self._signals = [signal.SIGTERM, *self.earlier]
        self._received: int | None = None
        self._previous: dict[int, Any] = {}
        self._is_open = False

    def __enter__(self) -> Preemption:
        """Keep handling signals after training, until the run has saved its weights."""
        self._is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the previous signal handlers."""
        self._is_open = False
        self.on_train_end()
        withdraw_leave()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Install the signal handlers; before training there is nothing to save."""
        withdraw_leave()
        for number in self._signals:
            self._previous[number] = signal.signal(number, self.note)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Restore the previous handlers, unless the run still has its weights to save."""
        if not self._is_open:
            for number, previous in self._previous.items():
                signal.signal(number, previous or signal.SIG_DFL)
            self._previous = {}

    def agree(self) -> bool:
        """Return whether any process received a signal. Collective: all processes must call it at the same point."""
        if dist.is_initialized() and dist.get_world_size() > 1:
            flag = torch.tensor(int(self._received is not None), device=PartialState().device)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            self.agreed = self.agreed or bool(flag)
        else:
            self.agreed = self.agreed or self._received is not None
        return self.agreed

    @contextmanager
    def interruptible(self, model: nn.Module, is_shared: bool = False) -> Iterator[None]:
        """Run work in a context; after a signal, leave it at once, or with several processes at its next forward of `model`.

        Processes may be at different points of the work. At its end they agree: `Interrupted` is raised on all of them or on
        none.

        Args:
            model: model that the work calls.
            is_shared: whether the work contains collective calls, in `share_out`. With several processes it is then left
                inside `share_out` only, or at the next forward.
        """
        has_collectives = is_shared and dist.is_initialized() and dist.get_world_size() > 1

        def stop_if_signalled(*args: Any) -> None:
            if self._received is not None:
                raise Interrupted

        handle = model.register_forward_pre_hook(stop_if_signalled)
        try:
            with nullcontext() if has_collectives else leaving_at_once():
                yield
        except Interrupted:
            pass
        finally:
            handle.remove()
        if self.agree():
            raise Interrupted

    def on_prediction_step(self, *args: Any, **kwargs: Any) -> None:
        """End a loss evaluation after a signal; all processes evaluate the same number of steps."""
        if self._previous and self.agree():
            raise Interrupted

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """After a signal, save and stop without an evaluation: the scheduler's grace period is short."""
        if self.agree():
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """After an early stop, skip evaluation and a second checkpoint: the training loop treats any stop as an epoch's end."""
        if self.agreed and state.global_step < state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = False
        return control

    def raise_if_preempted(self, output_dir: Path, step: int) -> None:
        """Raise Preempted, which sets the exit code, if a signal has stopped the run."""
        if not self.agreed:
            return
        name = signal.Signals(self._received or signal.SIGTERM).name
        if step == 0:
            raise Preempted(f"{name} before the first step, so nothing was saved: run the same command again.")
        raise Preempted(
            f"{name}: saved {output_dir}/checkpoint-{step}. To resume, run the same command with "
            "--resume_from_checkpoint latest."
        )

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Signal handler: remember the signal, and leave work that is not worth finishing.

        From then on a signal that ends other commands, such as SIGHUP, is ignored too, because it would end the save.
        """
        self._received = number
        ignore_further_signals()
        request_leave()


def parse_signal(name: str) -> signal.Signals:
    """Return the signal for a name such as USR1 or SIGUSR1. Raises UserError for an unsupported name."""
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    if full not in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGCONT", "SIGXCPU"):
        raise UserError(
            f"invalid value for --preemption_signal: {name}. Use USR1, USR2, HUP, CONT or XCPU; SIGTERM is always handled."
        )
    return signal.Signals[full]


def follow_launcher() -> None:
    """Ask Linux to send this process SIGTERM when the launcher that started it ends.

    `accelerate launch` with one process does not forward SIGTERM, so the training process would continue as an orphan.
    A process without a launcher is left alone: it may be meant to outlive its shell.
    """
    if sys.platform != "linux" or not any(name in os.environ for name in _LAUNCHERS):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    adopted = os.getppid() == 1 and b"python" not in Path("/proc/1/cmdline").read_bytes()
    if adopted:  # the launcher ended before prctl; in a container the launcher itself may be process 1
        os.kill(os.getpid(), signal.SIGTERM)


class SaveBetweenRollouts(TrainerCallback):
    """Delays saves and requested stops until every sample of the current rollout has been used.

    A checkpoint does not contain the rest of a rollout, so a run resumed in the middle would sample other prompts.

    Args:
        trainer: the trainer; its `between_rollouts` is true when no rollout is partly used.
    """

    def __init__(self, trainer: Any):
        self._trainer, self._is_save_due = trainer, False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Called after every optimizer step, after the callbacks that request saves and stops."""
        is_last = state.global_step >= state.max_steps
        self._is_save_due = self._is_save_due or control.should_save
        if is_last or self._trainer.between_rollouts:
            control.should_save, self._is_save_due = self._is_save_due, False
        else:
            control.should_save = control.should_training_stop = False
        return control

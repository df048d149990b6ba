"""Callbacks of a run: metrics and samples as JSON lines, the claim, preemption, and trackers.

`Preemption` saves and stops as soon as possible after SIGTERM, which schedulers send some time before they kill. Work that is
not worth finishing then (evaluations, guards, rollouts) runs inside `interruptible` and ends with `Interrupted`.
`follow_launcher` keeps a run from outliving its launcher. A tracker that fails never ends a run.
"""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import nn
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from hrm_align.errors import Interrupted, Preempted, RunError, UserError
from hrm_align.trainers.claim import Claim

HEALTH = "health/"
# Prefixes of what goes to the trackers and metrics.jsonl, but not to the console.
QUIET = (
    HEALTH,
    "clip_ratio/",
    "completions/m",
    "frac_reward",
    "groups/drawn",
    "num_tokens",
    "parity/",
    "rewards/",
    "seconds/",
)


def append_json_line(path: Path, record: dict[str, Any]) -> None:
    """Append one object to a JSONL file, whole or not at all.

    A number that JSON has no word for (NaN, infinity) becomes its name.

    Raises:
        RunError: if the disk does not take it.
    """
    named = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    line = (json.dumps(named, ensure_ascii=False) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            if file.write(line) < len(line):  # half a line would break every reader of the resumed run's file
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise RunError(
            f"cannot write a line of {len(line):,} bytes to {path} ({error.strerror}): make room, and go on with "
            "--resume_from_checkpoint latest."
        ) from error


class MetricsFile(TrainerCallback):
    """Writes every log record to `metrics.jsonl`, whatever trackers are configured.

    Args:
        path: of the file; records are appended.
        resumed: the checkpoint that the run goes on from. The file then says so, because steps behind that checkpoint may
            stand in it twice: those before the line are of weights that were lost. The line of a run that was killed before
            its first checkpoint, and begins again, names none.
    """

    def __init__(self, path: Path, resumed: Path | None = None):
        self.path, self.resumed = path, resumed

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **kwargs: Any) -> None:
        """Note where a resumed run goes on."""
        begins_again = self.resumed is None and self.path.exists()
        if state.is_world_process_zero and (self.resumed is not None or begins_again):
            resumed_from = None if begins_again else str(self.resumed)
            append_json_line(self.path, {"step": state.global_step, "resumed_from": resumed_from})

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


class _Short(TrainerCallback):
    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Print a record that fits on a line or two."""
        shown = {name: value for name, value in (logs or {}).items() if not name.startswith(QUIET)}
        super().on_log(args, state, control, logs=shown, **kwargs)


class _ShortProgress(_Short, ProgressCallback): ...


class _ShortPrinter(_Short, PrinterCallback): ...


def shorten_console(trainer: Trainer) -> None:
    """Keep what is for the trackers from the console: a record of reinforcement learning has fifty metrics."""
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(_ShortProgress())
    if trainer.pop_callback(PrinterCallback) is not None:
        trainer.add_callback(_ShortPrinter())


_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
# Set by `accelerate launch` for each process that it starts, and by torchrun.
_LAUNCHERS = ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")


class ClaimWatch(TrainerCallback):
    """Stops a run that has lost its folder to another before it writes there again.

    Args:
        claim: of the main process; None on the others.
    """

    def __init__(self, claim: Claim | None):
        self.claim = claim

    def _check(self, *args: Any, **kwargs: Any) -> None:
        if self.claim is not None:
            self.claim.check()

    on_train_begin = on_step_end = on_log = on_evaluate = on_train_end = _check  # before whatever is written next


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


logger = logging.getLogger(__name__)

LOGIN_SECONDS = 60  # for a process to start, to import wandb, and to hear from its server

# `os._exit`, since wandb's own end can wait on a server that does not answer.
LOGIN = """
import os, sys, wandb
try:
    reason = "" if wandb.login(prompt=False) else "nobody has logged in"
except Exception as error:
    reason = str(error).splitlines()[0]
print(reason, file=sys.stderr, flush=True)
os._exit(bool(reason))
"""


def prepare_trackers(report_to: str | list[str] | None, output_dir: Path) -> None:
    """Let wandb record offline where nobody has logged in or its server cannot be reached, instead of stopping the run.

    Args:
        report_to: the trackers that a run names. `wandb sync` uploads an offline run later.
        output_dir: of the run; wandb's own files go there too.
    """
    if "wandb" not in (report_to or ()):
        return
    os.environ.setdefault("WANDB_DIR", str(output_dir))
    if "WANDB_MODE" in os.environ:
        return
    if reason := _why_login_fails():
        logger.warning("wandb: %s. This run is recorded offline: `wandb sync` its folder to upload it later.", reason)
        os.environ["WANDB_MODE"] = "offline"


def _why_login_fails() -> str | None:
    """Return what stands between this user and wandb's server, None where nothing does.

    Asked in a process of its own, which can be ended: within this one a login leaves a service behind that waits
    without end for a server that does not answer, and settings that were read before the run is set offline.
    """
    with tempfile.TemporaryFile("w+") as said:  # no pipe: wandb's own service could hold it open
        try:
            login = subprocess.run([sys.executable, "-c", LOGIN], stderr=said, timeout=LOGIN_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the login did not end within {LOGIN_SECONDS} s"
        said.seek(0)
        lines = said.read().strip().splitlines()
    if login.returncode == 0:
        return None
    return lines[-1].rstrip(".") if lines else "the login failed"


class SaveBetweenRollouts(TrainerCallback):
    """Puts a save, and a stop that was asked for, off until no rollout is half used: a run could not go on exactly there.

    What is left of a rollout is not in a checkpoint, so that a resumed run would answer other prompts.

    Args:
        trainer: whose `between_rollouts` tells.
    """

    def __init__(self, trainer: Any):
        self._trainer, self._wanted = trainer, False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Called after every optimizer step, behind the callbacks that ask for saves and stops."""
        over = state.global_step >= state.max_steps
        self._wanted = self._wanted or control.should_save
        if over or self._trainer.between_rollouts:
            control.should_save, self._wanted = self._wanted, False
        else:
            control.should_save = control.should_training_stop = False
        return control

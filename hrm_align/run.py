"""A run opens its folder: one process claims it and finds the checkpoint to go on from, and all of them hear the same.

From there to its end it listens to the signals that ask it to stop.

with open_run(recipe.training) as run:
    train(recipe, run)
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from transformers import TrainerCallback

from hrm_align.errors import Interrupted, Preempted, RunError, UserError, some
from hrm_align.run_folder import PREEMPTED, check_folder
from hrm_align.trainers.callbacks import MetricsFile, Preemption, follow_launcher
from hrm_align.trainers.claim import Claim, ClaimWatch, claimed, sees_claim
from hrm_align.trainers.resume import AUTO, checkpoint_to_resume

SEEN_WITHIN = 15.0  # seconds, in which a network file system shows a new file


@dataclass(frozen=True)
class Run:
    """An open run.

    Attributes:
        folder: its output_dir.
        resumed: the checkpoint that it goes on from, verified; None for a run from the start.
        claim: on the folder, held by the main process; None on the others.
        preemption: what it does with signals.
    """

    folder: Path
    resumed: Path | None
    claim: Claim | None
    preemption: Preemption

    @property
    def callbacks(self) -> list[TrainerCallback]:
        """For its trainer: the claim is watched, metrics.jsonl written, and a signal becomes a checkpoint."""
        metrics = MetricsFile(self.folder / "metrics.jsonl", self.resumed)
        return [ClaimWatch(self.claim), metrics, self.preemption]

    def check_claim(self) -> None:
        """Raise RunError if another run has taken the folder over."""
        if self.claim is not None:
            self.claim.check()


@contextmanager
def open_run(args: Any) -> Iterator[Run]:
    """Claim `output_dir`, before anything is read for the run or written there, until the run ends in whatever way.

    Args:
        args: the trainer's, with `output_dir`, `resume_from_checkpoint`, `preemption_dir` and `preemption_signal`.

    Raises:
        UserError: on the main process, if another run has the folder, if it holds what may not be written over, or if there
            is no such checkpoint. The other processes exit with the same code and say nothing.
        RunError: the same, if the checkpoint of a preempted run cannot be copied.
        Preempted: if a signal came when only the scores of the guard sets were missing.
    """
    state, folder, asked = PartialState(), Path(str(args.output_dir)), args.resume_from_checkpoint
    preemption = Preemption(args.preemption_signal)
    follow_launcher()
    with ExitStack() as closing:
        claim, resumed, refusal = None, None, None
        if state.is_main_process:
            try:
                claim = closing.enter_context(claimed(folder, patient=asked == AUTO))
                closing.enter_context(_released_by_signals(claim))
                resumed = checkpoint_to_resume(asked, folder, args.preemption_dir)
                check_folder(folder, resumed, started_again=asked == AUTO)
                (folder / "run" / PREEMPTED).unlink(missing_ok=True)  # what it told is settled
            except (UserError, RunError) as error:
                refusal = error
        token = claim.owner.token if claim is not None else ""
        code = 0 if refusal is None else 2 if isinstance(refusal, UserError) else 1
        resumed, token, code = broadcast_object_list([resumed, token, code])
        if not code and (apart := _machines_apart(folder, token)):
            code = 2
            refusal = UserError(
                f"--output_dir {folder} is not one folder: {some(apart)} cannot see what {socket.gethostname()} writes there. "
                "Give the path of a file system that all machines share."
            )
        if code:
            state.wait_for_everyone()  # none may leave while another still waits for its answer
            if refusal is not None and state.is_main_process:
                raise refusal
            sys.exit(code)
        try:
            with preemption:
                yield Run(folder, resumed, claim, preemption)
        except Interrupted as stop:
            raise Preempted(f"{folder} is saved, but for the scores of its guard sets after training.") from stop


def _machines_apart(folder: Path, token: str) -> list[str]:
    """The names of the machines on which the main process's claim is not to be seen, the same on every process."""
    if int(os.environ.get("LOCAL_WORLD_SIZE", PartialState().num_processes)) >= PartialState().num_processes:
        return []
    end = time.monotonic() + SEEN_WITHIN
    while not (is_seen := sees_claim(folder / "run", token)) and time.monotonic() < end:
        time.sleep(0.2)
    return sorted({host for host, seen in gather_object([(socket.gethostname(), is_seen)]) if not seen})


@contextmanager
def _released_by_signals(claim: Claim) -> Iterator[None]:
    """Let signals that end this process at once, as SIGTERM does outside of training, remove the claim first."""

    def end(number: int, frame: FrameType | None) -> None:
        claim.release()  # does nothing in a forked worker
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)

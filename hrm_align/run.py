"""A run opens its folder: one process claims it and finds the checkpoint to go on from, and all of them hear the same.

with open_run(recipe.training) as run:
    train(recipe, run)
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from hrm_align.errors import UserError
from hrm_align.trainers.claim import Claim, claimed
from hrm_align.trainers.records import check_folder
from hrm_align.trainers.resume import AUTO, checkpoint_to_resume


@dataclass(frozen=True)
class Run:
    """An open run.

    Attributes:
        folder: its output_dir.
        resumed: the checkpoint that it goes on from, verified; None for a run from the start.
        claim: on the folder, held by the main process; None on the others.
    """

    folder: Path
    resumed: Path | None
    claim: Claim | None

    def check_claim(self) -> None:
        """Raise RunError if another run has taken the folder over."""
        if self.claim is not None:
            self.claim.check()


@contextmanager
def open_run(args: Any) -> Iterator[Run]:
    """Claim `output_dir`, before anything is read for the run or written there, until the run ends in whatever way.

    Args:
        args: the trainer's, with `output_dir` and `resume_from_checkpoint`.

    Raises:
        UserError: on the main process, if another run has the folder, if it holds what may not be written over, or if there
            is no such checkpoint. The other processes exit with the same code and say nothing.
    """
    state, folder, asked = PartialState(), Path(str(args.output_dir)), args.resume_from_checkpoint
    with ExitStack() as closing:
        claim, resumed, refusal = None, None, None
        if state.is_main_process:
            try:
                claim = closing.enter_context(claimed(folder, patient=asked == AUTO))
                closing.enter_context(_released_by_signals(claim))
                resumed = checkpoint_to_resume(asked, folder)
                check_folder(folder, resumed, started_again=asked == AUTO)
            except UserError as error:
                refusal = error
        resumed, refused = broadcast_object_list([resumed, refusal is not None])
        if refused:
            state.wait_for_everyone()  # none may leave while another still waits for its answer
            if refusal is not None:
                raise refusal
            sys.exit(2)
        yield Run(folder, resumed, claim)


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

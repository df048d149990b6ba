"""Checkpoints that are damaged on disk: `latest` must pass over them and say so."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

from faults.runs import Result, ends_like
from hrm_align.errors import UserError
from hrm_align.trainers.checkpoints import checkpoints_in
from hrm_align.trainers.resume import checkpoint_to_resume

BLOCK = 4096  # what a disk loses at once


def corruption_trial(rng: Random, index: int, whole: Path) -> Result:
    """Damage a file of the newest checkpoint (in one trial of four, of the next, too), and ask for `latest`.

    Every tenth trial resumes the run too.
    """
    run = whole.parent / f"corruption-{index}"
    shutil.copytree(whole, run)
    found = checkpoints_in(run)
    damaged = found[: 2 if rng.random() < 0.25 else 1]
    done = [damage(rng, folder, found[-1]) for folder in damaged]
    wrong = _wrong_answers(run, damaged, found[len(damaged)])
    if index % 10 == 0:
        wrong += ends_like(whole, run, 5)
    return {"damage": done, "resumed": index % 10 == 0, "wrong": wrong}


def damage(rng: Random, folder: Path, older: Path) -> str:
    """Damage one file of a checkpoint. What was done to it."""
    while True:
        path = rng.choice(sorted(folder.iterdir()))
        content = path.read_bytes()
        at = rng.randrange(len(content))
        block = at - at % BLOCK
        kind, now = rng.choice(
            [
                ("deleted", None),
                ("emptied", b""),
                ("cut", content[:at]),
                ("flipped", content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]),
                ("blanked", (content[:block] + bytes(BLOCK))[: len(content)] + content[block + BLOCK :]),
                ("stale", (older / path.name).read_bytes()),
            ]
        )
        if now == content:  # a block of zeros, a file that is the same in every checkpoint: nothing was done
            continue
        path.unlink()
        if now is not None:
            path.write_bytes(now)
        return f"{kind} {path.name}"


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()


def _wrong_answers(run: Path, damaged: Sequence[Path], expected: Path) -> list[str]:
    """What is wrong with how `latest`, and a damaged folder's own name, are answered."""
    wrong, heard, logger = [], _Warnings(), logging.getLogger("hrm_align.trainers.resume")
    logger.addHandler(heard)
    logger.propagate = False
    if (chosen := checkpoint_to_resume("latest", run)) != expected:
        wrong.append(f"latest is {chosen}")
    logger.removeHandler(heard)
    for folder in damaged:
        if f"{folder} is skipped" not in heard.text:
            wrong.append(f"nothing was said of {folder.name}")
        try:
            checkpoint_to_resume(str(folder), run)
            wrong.append(f"{folder.name} was taken")
        except UserError:
            continue
    return wrong

"""Damage checkpoints on disk: `--resume_from_checkpoint latest` must skip a damaged checkpoint and report it in a warning."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

from faults.runs import Result, compare_resumed
from hrm_align.errors import UserError
from hrm_align.trainers.checkpoints import checkpoints_in
from hrm_align.trainers.resume import checkpoint_to_resume

BLOCK = 4096  # bytes of a disk block, which is zeroed as a whole


def corruption_trial(rng: Random, index: int, whole: Path) -> Result:
    """Damage a file of the newest checkpoint (in one trial of four also of the second newest), and resolve `latest`.

    Every tenth trial also resumes the run.
    """
    run = whole.parent / f"corruption-{index}"
    shutil.copytree(whole, run)
    checkpoints = checkpoints_in(run)
    damaged = checkpoints[: 2 if rng.random() < 0.25 else 1]
    damages = [damage(rng, folder, checkpoints[-1]) for folder in damaged]
    wrong = _check_resolution(run, damaged, checkpoints[len(damaged)])
    if index % 10 == 0:
        wrong += compare_resumed(whole, run, 5)
    return {"damage": damages, "resumed": index % 10 == 0, "wrong": wrong}


def damage(rng: Random, folder: Path, older: Path) -> str:
    """Damage one file of a checkpoint. Returns the kind of damage and the name of the file."""
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
        if now == content:  # no change: the block was zero already, or all checkpoints have the same file
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


def _check_resolution(run: Path, damaged: Sequence[Path], expected: Path) -> list[str]:
    """Resolve `latest` and the names of damaged checkpoints. Returns a list of what went wrong.

    `latest` must be the expected checkpoint and a warning must name each damaged one; a damaged one by its own name must be refused.
    """
    wrong, warnings, logger = [], _Warnings(), logging.getLogger("hrm_align.trainers.resume")
    logger.addHandler(warnings)
    logger.propagate = False
    if (chosen := checkpoint_to_resume("latest", run)) != expected:
        wrong.append(f"latest is {chosen}")
    logger.removeHandler(warnings)
    for folder in damaged:
        if str(folder) not in warnings.text:
            wrong.append(f"no warning names {folder.name}")
        try:
            checkpoint_to_resume(str(folder), run)
            wrong.append(f"{folder.name} was accepted")
        except UserError:
            continue
    return wrong

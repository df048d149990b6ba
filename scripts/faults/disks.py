"""Full disks: what was saved before must stay whole, and the message must say how much room is needed."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from faults.runs import LATEST, Result, arguments, differences, exit_code, not_whole, sft
from hrm_align.errors import RunError, UserError
from hrm_align.run_folder import STAGING, write_json
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.checkpoints import checkpoints_in

CHECKPOINT = 9_600_000  # bytes of a checkpoint of the run


def disk_trial(rng: Random, index: int, whole: Path) -> Result:
    """Run on a disk that fills up; make room; go on."""
    disk = whole.parent / f"disk-{index}"
    disk.mkdir()
    if index % 2:
        told = {"size": round(CHECKPOINT * rng.uniform(0.8, 5)), "eaten_at": None, "left": 0}
    else:  # room for everything, until another program takes all but a part of a checkpoint while one is written
        told = {"size": 16 * CHECKPOINT, "eaten_at": rng.randrange(1, 6), "left": rng.randrange(CHECKPOINT - 500_000)}
    log, answer = disk.with_suffix(".log"), disk.with_suffix(".json")
    code = exit_code(log, [], partial(on_a_small_disk, told, disk, whole))
    found = json.loads(answer.read_text()) if code == 0 else {"wrong": [f"exit code {code}: {log.read_text()[-1000:]}"]}
    return {**told, **found}


def on_a_small_disk(told: dict[str, Any], disk: Path, whole: Path, argv: Sequence[str]) -> None:
    """What the trial's process does; nobody else sees its disk."""
    _mount_tmpfs(disk, told["size"])
    run, stock = disk / "run", SafeCheckpoints._check_room
    argv, saves = arguments(whole.parent, run, 5), count(1)

    def check_room(trainer: Any, needed: int) -> None:
        stock(trainer, needed)
        if next(saves) == told["eaten_at"]:
            taken = shutil.disk_usage(disk).free - told["left"]
            (disk / "ballast").write_bytes(bytes(taken))

    SafeCheckpoints._check_room = check_room  # type: ignore[method-assign, assignment]
    said = "the run ended"
    try:
        sft(argv)
    except RunError as error:
        said = str(error)
    SafeCheckpoints._check_room = stock  # type: ignore[method-assign]
    saved = [path.name for path in checkpoints_in(run)]
    wrong = [] if re.search(r"\b\d[\d,]+ bytes", said) else [said]
    wrong += [f"{saved[0]} is not named"] if saved and f"{saved[0]} is untouched" not in said else []
    wrong += not_whole(run) + (["the half-written folder is there"] if (run / STAGING).exists() else [])
    (disk / "ballast").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", f"remount,size={16 * CHECKPOINT}", str(disk)], check=True)
    if not saved:
        shutil.rmtree(run)
    sft([*argv, *(LATEST if saved else ())])
    write_json(disk.with_suffix(".json"), {"saved": saved, "said": said, "wrong": wrong + differences(run, whole)})


def _mount_tmpfs(folder: Path, size: int) -> None:
    clone_newns = 0x00020000
    commands = (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)])
    if ctypes.CDLL(None).unshare(clone_newns) or any(subprocess.call(["mount", *words]) for words in commands):
        raise UserError("no permission to mount a small disk in a private namespace: be root, or use --only.")

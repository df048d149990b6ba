"""Fill disks during a run: earlier checkpoints must stay whole, and the error must state how many bytes are needed."""

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

from faults.runs import LATEST, Result, arguments, differences, exit_code, find_damaged, sft
from hrm_align.errors import RunError, UserError
from hrm_align.run_folder import STAGING, write_json
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.checkpoints import checkpoints_in

CHECKPOINT = 9_600_000  # bytes of one checkpoint of the run


def disk_trial(rng: Random, index: int, whole: Path) -> Result:
    """Run on a disk that fills up, free space on the disk, and resume the run."""
    disk = whole.parent / f"disk-{index}"
    disk.mkdir()
    if index % 2:  # a disk that is too small
        trial = {"size": round(CHECKPOINT * rng.uniform(0.8, 5)), "eaten_at": None, "left": 0}
    else:  # a large disk that another program fills during a save, except for less than one checkpoint
        trial = {"size": 16 * CHECKPOINT, "eaten_at": rng.randrange(1, 6), "left": rng.randrange(CHECKPOINT - 500_000)}
    log, report = disk.with_suffix(".log"), disk.with_suffix(".json")
    code = exit_code(log, [], partial(on_a_small_disk, trial, disk, whole))
    if code:
        return {**trial, "wrong": [f"exit code {code}: {log.read_text()[-1000:]}"]}
    return {**trial, **json.loads(report.read_text())}


def on_a_small_disk(trial: dict[str, Any], disk: Path, whole: Path, argv: Sequence[str]) -> None:
    """Run a trial in its own process, whose disk no other process can access, and write the result to a JSON file."""
    _mount_tmpfs(disk, trial["size"])
    run, original_check = disk / "run", SafeCheckpoints._check_room
    argv, saves = arguments(whole.parent, run, 5), count(1)

    def check_room(trainer: Any, needed: int) -> None:
        original_check(trainer, needed)
        if next(saves) == trial["eaten_at"]:
            taken = shutil.disk_usage(disk).free - trial["left"]
            (disk / "ballast").write_bytes(bytes(taken))

    SafeCheckpoints._check_room = check_room  # type: ignore[method-assign, assignment]
    message = "the run ended"
    try:
        sft(argv)
    except RunError as error:
        message = str(error)
    SafeCheckpoints._check_room = original_check  # type: ignore[method-assign]
    saved = [path.name for path in checkpoints_in(run)]
    wrong = [] if re.search(r"\b\d[\d,]+ bytes", message) else [message]
    wrong += [f"the error does not name {saved[0]}"] if saved and saved[0] not in message else []
    wrong += find_damaged(run) + (["the half-written folder was not removed"] if (run / STAGING).exists() else [])
    (disk / "ballast").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", f"remount,size={16 * CHECKPOINT}", str(disk)], check=True)
    if not saved:
        shutil.rmtree(run)
    sft([*argv, *(LATEST if saved else ())])
    write_json(
        disk.with_suffix(".json"), {"saved": saved, "message": message, "wrong": wrong + differences(run, whole)}
    )


def _mount_tmpfs(folder: Path, size: int) -> None:
    clone_newns = 0x00020000
    commands = (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)])
    if ctypes.CDLL(None).unshare(clone_newns) or any(subprocess.call(["mount", *words]) for words in commands):
        raise UserError("no permission to mount a small disk in a private namespace. Run as root, or add `--disk 0`.")

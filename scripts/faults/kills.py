"""Kill runs with SIGKILL at random moments, and resume them."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from faults.runs import AUTO, STEPS, Result, arguments, differences, records, started
from hrm_align.run_folder import STAGING
from hrm_align.trainers.checkpoints import checkpoints_in

SAVE_SECONDS = 0.1  # about how long the run takes to write a checkpoint


def kill_trial(rng: Random, index: int, whole: Path) -> Result:
    """Kill a run, and sometimes its resumed runs, until one ends. Odd trials are killed at least once during a save."""
    run = whole.parent / f"kills-{index}"
    every, limit = rng.choice([2, 3, 5]), rng.choice([1, 2, 10])
    argv = arguments(whole.parent, run, every, "--save_total_limit", str(limit), *AUTO)
    result: Result = {"save_steps": every, "kills": [], "lost": [], "before_the_first_checkpoint": 0}
    reached = 0
    while True:
        lethal = not result["kills"] or rng.random() < 0.2 or (index % 2 == 1 and "while saving" not in result["kills"])
        known, old = len(records(run)), _staging_time(run)
        with started(run.with_suffix(".log"), argv) as process:
            if lethal:
                (kill_while_saving if index % 2 else kill_anywhere)(rng, run, process, whole)
        new = records(run)[known:]
        result["lost"] += [reached - record["step"] for record in new if "resumed_from" in record]
        if process.exitcode != -signal.SIGKILL and (result["kills"] or process.exitcode != 0):
            break
        if process.exitcode == 0:  # the run ended before it was killed
            shutil.rmtree(run)
            continue
        result["kills"].append("elsewhere" if _staging_time(run) in (None, old) else "while saving")
        reached = max((record["step"] for record in new), default=reached)
        result["before_the_first_checkpoint"] += not checkpoints_in(run)  # then `auto` starts from step 0
    wrong = [f"{lost} steps lost" for lost in result["lost"] if lost > every]
    wrong += differences(run, whole) if process.exitcode == 0 else [run.with_suffix(".log").read_text()[-1000:]]
    return {**result, "wrong": wrong}


def _staging_time(run: Path) -> int | None:
    """Return the change time of the staging folder, or None.

    The staging folder exists during a save, and after a run was killed during a save.
    """
    try:
        return (run / STAGING).stat().st_ctime_ns if any((run / STAGING).iterdir()) else None
    except FileNotFoundError:
        return None


def kill_while_saving(rng: Random, run: Path, process: Any, whole: Path) -> None:
    """Wait for a random step, then for a save, then for a random part of the save, and kill the run."""
    step, part, old = rng.randrange(STEPS), rng.uniform(0, SAVE_SECONDS), _staging_time(run)
    _wait(process, lambda: step == 0 or _count_lines(run) >= step)
    _wait(process, lambda: _staging_time(run) not in (None, old))
    time.sleep(part)
    process.kill()


def kill_anywhere(rng: Random, run: Path, process: Any, whole: Path) -> None:
    """Wait for a random part of the duration of a run, and kill the run; one run in ten is killed before its first step."""
    seconds = next(record["train_runtime"] for record in records(whole) if "train_runtime" in record)
    if rng.random() < 0.9:
        known = _count_lines(run)
        _wait(process, lambda: _count_lines(run) > known)
    time.sleep(rng.uniform(0, seconds))
    process.kill()


def _count_lines(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _wait(process: Any, until: Callable[[], bool]) -> None:
    while process.is_alive() and not until():
        time.sleep(0.001)

"""The run of every trial: start the SFT recipe in its own process, read its records, compare it with the uninterrupted run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file

from hrm_align.cli import run_with_exit_code
from hrm_align.trainers.callbacks import append_json_line
from hrm_align.trainers.checkpoints import MANIFEST, checkpoints_in, find_damage

STEPS, ROWS, ROWS_A_STEP = 30, 20, 4  # 6 epochs
AUTO = ("--resume_from_checkpoint", "auto")
LATEST = ("--resume_from_checkpoint", "latest")
TIMEOUT = 120  # seconds; a run takes two

Result = dict[str, Any]
Recipe = Callable[[Sequence[str]], None]


def arguments(work: Path, run: Path, save_steps: int, *flags: str) -> list[str]:
    """Return the command-line arguments of a run."""
    given = f"--model_name_or_path tiny --datasets {work / 'rows.jsonl'} --output_dir {run} --disable_tqdm true"
    given += f" --max_steps {STEPS} --per_device_train_batch_size {ROWS_A_STEP} --learning_rate 1e-3 --logging_steps 1"
    given += f" --ema_decay 0.9 --bp_min_steps 2 --bp_max_steps 5 --bp_warmup_ratio 1 --save_steps {save_steps}"
    return [*given.split(), *flags]


def sft(argv: Sequence[str]) -> None:
    """Run the SFT recipe; the child process imports it."""
    from hrm_align.recipes.sft import main

    main(argv)


def _child(log: Path, recipe: Recipe, argv: Sequence[str]) -> None:
    torch.set_num_threads(1)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.exit(run_with_exit_code(recipe, argv))


@contextmanager
def started(log: Path, argv: Sequence[str], recipe: Recipe = sft) -> Iterator[Any]:
    """Start a run in its own process, forked from a server that has already imported the recipe.

    On exit, wait for the process at most `TIMEOUT` seconds and then kill it.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["hrm_align.recipes.sft"])
    process = context.Process(target=_child, args=(log, recipe, argv))
    process.start()
    try:
        yield process
        process.join(TIMEOUT)
    finally:
        process.kill()
        process.join()


def exit_code(log: Path, argv: Sequence[str], recipe: Recipe = sft) -> int:
    """Run to the end and return the exit code."""
    with started(log, argv, recipe) as process:
        pass
    return process.exitcode


def records(run: Path) -> list[dict[str, Any]]:
    """Return the records of a run's metrics.jsonl; an empty list if the file does not exist."""
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def curve(run: Path) -> dict[int, dict[str, Any]]:
    """Return the log records by step. For a step that was trained again after a resume, the last record counts.

    `health/probe_kl` is left out: its interval depends on the first batch of a process, so a resumed run may log the value at
    other steps than the uninterrupted run.
    """
    logged = [record for record in records(run) if "loss" in record]
    return {record["step"]: {k: v for k, v in record.items() if k != "health/probe_kl"} for record in logged}


def differences(run: Path, whole: Path) -> list[str]:
    """Return the names of log records and weights in which a finished run differs from the uninterrupted run."""
    differing = [] if curve(run) == curve(whole) else ["log records"]
    for part in ("", "ema"):
        ours, theirs = (load_file(folder / part / "model.safetensors") for folder in (run, whole))
        differing += [f"{part} {name}" for name in theirs | ours if not torch.equal(ours[name], theirs[name])]
    return differing + find_damaged(run)


def find_damaged(run: Path) -> list[str]:
    """Return the damaged checkpoints of a run, each with what is wrong."""
    return [f"{path.name}: {fault}" for path in checkpoints_in(run) if (fault := find_damage(path))]


def compare_resumed(whole: Path, run: Path, save_steps: int, *flags: str) -> list[str]:
    """Resume a run with `latest`, and return how its end differs from that of the uninterrupted run."""
    log = run.with_suffix(".log")
    code = exit_code(log, arguments(whole.parent, run, save_steps, *flags, *LATEST))
    return differences(run, whole) if code == 0 else [f"exit code {code}: {log.read_text()[-500:]}"]


def make_reference(work: Path) -> Path:
    """Write the training rows and make the uninterrupted run, unless a finished one exists. Returns its folder."""
    whole, rng = work / "whole", Random(0)
    if (whole / "ema" / MANIFEST).exists():
        return whole
    shutil.rmtree(whole, ignore_errors=True)  # left by an interrupted campaign
    (work / "rows.jsonl").unlink(missing_ok=True)
    for n in range(ROWS):
        answer = " ".join(rng.choices(["red", "blue", "oak"], k=1 + n % 7))
        append_json_line(work / "rows.jsonl", {"prompt": f"say {n}", "response": answer})
    code = exit_code(work / "whole.log", arguments(work, whole, 5))
    assert code == 0, (work / "whole.log").read_text()
    return whole

"""The record of a run, in `output_dir/run`: what was asked, on what machine, with which data."""

from __future__ import annotations

import json
import logging
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from hrm_align._version import __version__
from hrm_align.files import replace_file, replace_json
from hrm_align.errors import PREEMPTED_CODE, UserError
from hrm_align.trainers.checkpoints import STAGING
from hrm_align.trainers.claim import is_of_claim
from hrm_align.wording import some

logger = logging.getLogger(__name__)

PREEMPTED = "preempted.json"
_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "tokenizers")


def check_folder(path: Path, resumed: Path | None, started_again: bool) -> None:
    """Refuse a folder that holds what this run would write over.

    Args:
        path: of the run.
        resumed: the checkpoint it goes on from; only its own run may be continued in place.
        started_again: whether a run that was killed before its first checkpoint may have been here.

    Raises:
        UserError: if there are files of another run, or (`started_again`) any that no start leaves behind.
    """
    if resumed is not None and resumed.resolve().parent == path.resolve():
        return
    found = [file.relative_to(path) for file in path.rglob("*") if _is_of_a_run(file)]
    if started_again:
        found = [file for file in found if file.parts[0] not in _OF_A_START]
    if not found:
        return
    if started_again:
        raise UserError(
            f"--resume_from_checkpoint auto: {path} holds no checkpoint to go on from, but {some(map(str, sorted(found)))}, which "
            "no start leaves behind, and nothing is written over: choose another --output_dir, or move the folder away."
        )
    raise UserError(
        f"{path} already holds files, and nothing is written over: choose another --output_dir, go on with "
        "--resume_from_checkpoint latest (or auto, which begins again where no checkpoint was saved), or move the folder away."
    )


# What a run writes before its first checkpoint: records, logs, trackers' files, the merge that GRPO begins with, half a save.
_OF_A_START = (
    "run",
    "metrics.jsonl",
    "samples.jsonl",
    "completions",
    "wandb",
    "runs",
    "start",
    ".start.partial",
    STAGING,
)


def _is_of_a_run(path: Path) -> bool:
    # A start that failed on a bad row leaves its quarantine file: with the row mended, the same command must work.
    return path.is_file() and not path.name.startswith("quarantine_") and not is_of_claim(path.name)


def environment() -> dict[str, Any]:
    """Versions and machine, as far as they change results."""
    return {
        "hrm_align": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "threads": torch.get_num_threads(),
        "world_size": int(os.environ.get("WORLD_SIZE", 1)),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object to be read by people and programs, whole or not at all."""
    replace_json(path, content, keep=False)


def note_preempted(output_dir: Path, step: int, stage: Path | None) -> None:
    """Write `run/preempted.json`, for schedulers, which see the launcher's exit code, and for the next start.

    Args:
        output_dir: of the run.
        step: of the checkpoint.
        stage: where it is while it is not in `output_dir` yet.
    """
    content = {
        "checkpoint": f"checkpoint-{step}",
        "step": step,
        "is_in_output_dir": stage is None,
        "stage": str(stage) if stage else None,
        "host": platform.node(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "exit_code": PREEMPTED_CODE,
    }
    write_json(output_dir / "run" / PREEMPTED, content)


def write_records(run: Path, settings: dict[str, Any], data: dict[str, Any]) -> None:
    """Write `resolved.yaml`, `env.json` and `data.json`; those of a run that is resumed stay whole if this is killed."""
    text = yaml.safe_dump(settings, sort_keys=False)
    replace_file(run / "resolved.yaml", lambda file: file.write(text.encode()), keep=False)
    write_json(run / "env.json", environment())
    write_json(run / "data.json", data)


def record_of(checkpoint: Path, name: str) -> dict[str, Any]:
    """What the run of a checkpoint has recorded under this name; empty where that is gone or was never written."""
    path = checkpoint.parent / "run" / name
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        found = None
    if isinstance(found, dict):
        return found
    logger.warning("%s is damaged: whether this is the same run is not compared with it", path)
    return {}

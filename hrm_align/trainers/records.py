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
from hrm_align.durable_files import replace_file, replace_json
from hrm_align.errors import PREEMPTED_CODE, UserError

logger = logging.getLogger(__name__)

PREEMPTED = "preempted.json"
_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "tokenizers")


def claim_output_dir(path: Path, resumed: Path | None = None) -> None:
    """Make the run's folder, and refuse one that holds another run.

    Args:
        path: of the run.
        resumed: the checkpoint it goes on from; only its own run may be continued in place.

    Raises:
        UserError: if the folder is in use, or cannot be written.
    """
    own = resumed is not None and resumed.resolve().parent == path.resolve()
    if not own and path.is_dir() and any(map(_is_of_a_run, path.rglob("*"))):
        raise UserError(
            f"{path} already holds files, and nothing is written over: choose another --output_dir, go on with "
            "--resume_from_checkpoint, or move the folder away."
        )
    try:
        (path / "run").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {path} ({error.strerror}): choose another --output_dir.") from error


def _is_of_a_run(path: Path) -> bool:
    # A start that failed on a bad row leaves its quarantine file: with the row mended, the same command must work.
    return path.is_file() and not path.name.startswith("quarantine_")


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

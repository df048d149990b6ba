"""Choose the checkpoint to resume from: an intact one, or an error; never silently a damaged one."""

from __future__ import annotations

import json
import logging
import platform
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from hrm_align.errors import RunError, UserError
from hrm_align.run_folder import PREEMPTED, STAGING
from hrm_align.trainers.checkpoints import (
    checkpoint_step,
    checkpoints_in,
    find_damage,
    is_stage,
    make_local_stage,
    newest_sealed,
    publish_sealed,
    restore_replaced,
)

logger = logging.getLogger(__name__)

AUTO = "auto"
NEWEST = ("latest", "true", "True")  # `true` is what Transformers users write
# A checkpoint without one of these files cannot continue the same run: Transformers silently starts a new optimizer.
_REQUIRED_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt")


def checkpoint_to_resume(
    requested: str | bool | None, output_dir: Path, preemption_dir: str | None = None
) -> Path | None:
    """Return the folder that `--resume_from_checkpoint` means, verified against its manifest.

    Args:
        requested: a checkpoint folder; `latest` (or `true`) for the newest intact one in `output_dir`; `auto` for the same, but
            None if there is no checkpoint yet; or None.
        output_dir: output_dir of the run.
        preemption_dir: parent of the local folder that a preempted run saves to first.

    Returns:
        The checkpoint folder; None to start from the beginning.

    Raises:
        UserError: if there is no such checkpoint, or it is damaged.
    """
    if not requested:
        return None
    restore_replaced(output_dir)
    recover_preempted(output_dir, preemption_dir)
    if requested == AUTO and not checkpoints_in(output_dir):
        return None
    if requested == AUTO or str(requested) in NEWEST:
        return _find_newest_intact(output_dir, str(requested))
    folder = Path(str(requested))
    if not folder.is_dir():
        raise UserError(
            f"invalid value for --resume_from_checkpoint: {requested} is not a checkpoint folder. Use a checkpoint-N folder, or "
            "`latest` for the newest intact one in --output_dir."
        )
    if fault := _find_fault(folder):
        raise UserError(
            f"--resume_from_checkpoint {requested} cannot be resumed: {fault}. Use an older checkpoint, or `latest` for the "
            "newest intact one; to start a new run from its weights, pass it as --model_name_or_path."
        )
    return folder


def recover_preempted(output_dir: Path, preemption_dir: str | None = None) -> None:
    """Publish the checkpoint of a preempted run that was killed before it was copied to `output_dir`, or warn if it is lost.

    Args:
        output_dir: output_dir of the run.
        preemption_dir: parent of the local folder that the run saved to first (see `make_local_stage`).

    Raises:
        RunError: if the checkpoint exists but cannot be published.
    """
    record = _preempted_record(output_dir)
    stages = {Path(str(record.get("stage") or "")).parent}  # the killed run may have used another --preemption_dir
    with suppress(OSError):  # the folder belongs to another user, so the killed run did not use it either
        stages.add(make_local_stage(output_dir, preemption_dir))
    stages = {folder for folder in stages if is_stage(folder, output_dir)}
    sealed = newest_sealed([output_dir / STAGING, *stages])
    if sealed is not None and sealed.name != record.get("checkpoint"):
        sealed = None  # from a deleted run that had the same output_dir
    newest = next(iter(checkpoints_in(output_dir)), None)
    if sealed is not None and (newest is None or checkpoint_step(sealed) > checkpoint_step(newest)):
        try:
            published = publish_sealed(sealed, output_dir)
        except OSError as error:
            raise RunError(
                f"{sealed}, which this run saved when it was preempted, cannot be copied to {output_dir} ({error}). It is "
                "untouched: free some disk space, and run the same command again."
            ) from error
        logger.warning("recovered %s from %s, where the preempted run had saved it; nothing needs to be done",
                       published, sealed)  # fmt: skip
    elif record and not record.get("is_in_output_dir") and not (output_dir / str(record.get("checkpoint"))).is_dir():
        lost = f"{record.get('checkpoint')} is lost: the preempted run saved it to {record.get('stage')} on "
        lost += f"{record.get('host')}, and it is not there on {platform.node()}."
        logger.warning("%s %s To recover it, stop this run and start it on that machine.", lost,
                       f"Resuming from {newest.name}." if newest else "There is no other checkpoint.")  # fmt: skip
    for folder in stages:
        shutil.rmtree(folder, ignore_errors=True)  # empty, unfinished, or older than the newest checkpoint


def _preempted_record(output_dir: Path) -> dict[str, Any]:
    try:
        record = json.loads((output_dir / "run" / PREEMPTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _find_newest_intact(output_dir: Path, requested: str) -> Path:
    faults = []
    for folder in checkpoints_in(output_dir):
        fault = _find_fault(folder)
        if fault is None:
            return folder
        faults.append(f"{folder.name}: {fault}")
        logger.warning(
            "%s is skipped: %s. An older checkpoint is used; delete this one if you do not need it.", folder, fault
        )
    if faults:
        raise UserError(
            f"--resume_from_checkpoint {requested}: no checkpoint in {output_dir} is intact ({'; '.join(faults)}). Restore one "
            "from a backup, or start again in another --output_dir."
        )
    raise UserError(
        f"--resume_from_checkpoint {requested}: {output_dir} holds no checkpoint-N folder. Leave the setting out, use `auto`, "
        "which starts from the beginning if there is no checkpoint, or use the --output_dir of the run."
    )


def _find_fault(folder: Path) -> str | None:
    fault = find_damage(folder)
    if fault is None and (missing := [name for name in _REQUIRED_FILES if not (folder / name).is_file()]):
        fault = f"it holds no {missing[0]}"
        if missing[0] != _REQUIRED_FILES[0]:
            fault += " (was it saved with --save_only_model?)"
    return fault

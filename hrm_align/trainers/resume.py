"""Choose the checkpoint to resume from: an intact one, or an error; never silently a damaged one.

Also check that the resumed run is the same run: the same rows in the same order, and the same optimizer settings. Transformers
restores an optimizer with its saved learning rates whatever the recipe says, and skips the batches done so far whatever they
contain. With other rows or rates, the records of the run would describe data and settings that were not used.
"""

from __future__ import annotations

import json
import logging
import math
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hrm_align.errors import RunError, UserError
from hrm_align.run_folder import PREEMPTED, STAGING, read_run_record
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


_OPTIMIZER = (
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "optim",
    "module_learning_rates",
)
_ORDER = ("seed", "data_seed", "condition", "eval_fraction", "replay_fraction", "max_length", "packing",
          "train_sampling_strategy", "num_generations", "curriculum")  # fmt: skip
_SPLIT = ("per_device_train_batch_size", "gradient_accumulation_steps")


def check_same_run(resumed: Path | None, settings: Mapping[str, Any], data: Mapping[str, Any], processes: int) -> None:
    """Check that a run has the rows and settings of the run that it resumes, before its records are overwritten.

    Args:
        resumed: the checkpoint to resume from; None for a run from the start. Without records nothing is compared.
        settings: all settings, from `resolved`.
        data: the rows used and dropped, as for run/data.json.
        processes: number of processes that train together.

    Raises:
        UserError: if rows, their order, or optimizer settings differ.
    """
    if resumed is None:
        return
    _check_rows(resumed, _fingerprints(read_run_record(resumed, "data.json")), _fingerprints(data))
    if theirs := read_run_record(resumed, "resolved.yaml"):
        _check_settings(resumed, theirs, settings)
        world = read_run_record(resumed, "env.json").get("world_size", processes)
        _check_split(resumed, _rows_per_step(theirs, world), _rows_per_step(settings, processes))


def _check_rows(resumed: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    if before and [*before] != [*now]:
        raise UserError(
            f"{resumed} was trained on {_join_paths(before)}, but this run has {_join_paths(now)}: resume with the rows of that "
            "run (see run/data.json), or start a new run with its weights as --model_name_or_path."
        )


def _check_settings(resumed: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for keys, why in (
        (_OPTIMIZER, "the resumed optimizer keeps its saved setting"),
        (_ORDER, "the resumed run would continue with other rows"),
    ):
        for key in keys:
            if key in theirs and key in ours and theirs[key] != ours[key]:
                raise UserError(
                    f"{key} is {ours[key]} here but {theirs[key]} in the run that saved {resumed}, and {why}. Resume with {key} "
                    f"{theirs[key]}, or start a new run with its weights as --model_name_or_path."
                )


def _check_split(resumed: Path, before: int, now: int) -> None:
    if before != now:
        raise UserError(
            f"{resumed} was trained with {before} rows per optimizer step, but this run has {now}: choose "
            f"{' x '.join(_SPLIT)} x processes so that they are equal."
        )


def _fingerprints(data: Mapping[str, Any]) -> dict[str, str]:
    """Return path by fingerprint of every data set that is trained on, in order."""
    parts = [part for name in ("train", "replay") for part in data.get(name, {}).get("datasets", [])]
    return {part["fingerprint"]: part["path"] for part in parts if part.get("fingerprint")}


def _join_paths(rows: Mapping[str, str]) -> str:
    return ", ".join(f"{path} ({fingerprint})" for fingerprint, path in rows.items()) or "none"


def _rows_per_step(settings: Mapping[str, Any], processes: int) -> int:
    return processes * math.prod(settings.get(key, 1) for key in _SPLIT)

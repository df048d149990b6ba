"""Which checkpoint a run goes on from: a whole one, or an error; never a damaged one in silence.

And whether the run is the one that this checkpoint is of: the same rows in the same order, under what its optimizer goes on
with. Transformers restores an optimizer with its own rates whatever the recipe says, and skips as many batches as were done
whatever they hold. The record of the run would then tell of data that it never saw, and forget those that it did.
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
from hrm_align.run_folder import PREEMPTED, STAGING, record_of
from hrm_align.trainers.checkpoints import (
    check_whole,
    checkpoints_in,
    is_stage,
    newest_sealed,
    publish_sealed,
    restore_replaced,
    stage_of,
    step_of,
)

logger = logging.getLogger(__name__)

AUTO = "auto"
NEWEST = ("latest", "true", "True")  # `true` is what Transformers' users write
# Without one of these a run would go on, but as another run: Transformers drops an optimizer without a word.
_NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt")


def checkpoint_to_resume(asked: str | bool | None, output_dir: Path, preemption_dir: str | None = None) -> Path | None:
    """The folder that `--resume_from_checkpoint` means, verified against its manifest.

    Args:
        asked: a checkpoint's folder, `latest` (or `true`) for the newest whole one in `output_dir`, `auto` for that or, where
            there is no checkpoint at all, a start; or nothing.
        output_dir: of the run.
        preemption_dir: where a preempted run has saved first.

    Raises:
        UserError: if there is no such checkpoint, or the one asked for is not whole.
    """
    if not asked:
        return None
    restore_replaced(output_dir)
    recover_preempted(output_dir, preemption_dir)
    if asked == AUTO and not checkpoints_in(output_dir):
        return None
    if asked == AUTO or str(asked) in NEWEST:
        return _newest_whole(output_dir, str(asked))
    folder = Path(str(asked))
    if not folder.is_dir():
        raise UserError(
            f"--resume_from_checkpoint {asked} is no checkpoint: name a checkpoint-N folder, or `latest` for the newest "
            "whole one in --output_dir."
        )
    if fault := _fault(folder):
        raise UserError(
            f"--resume_from_checkpoint {asked} cannot be resumed: {fault}. Name an older checkpoint, or `latest` for the "
            "newest whole one; to start anew from its weights, give it as --model_name_or_path."
        )
    return folder


def recover_preempted(output_dir: Path, preemption_dir: str | None = None) -> None:
    """Publish the checkpoint of a preempted run that was killed before it stood in `output_dir`, or tell that it is lost.

    Args:
        output_dir: of the run.
        preemption_dir: where that run saved first (`stage_of`).

    Raises:
        RunError: if it is there and cannot be published.
    """
    record = _preempted_record(output_dir)
    stages = {Path(str(record.get("stage") or "")).parent}  # which may be another than this command names
    with suppress(OSError):  # the folder of another user, which was not written to either
        stages.add(stage_of(output_dir, preemption_dir))
    stages = {folder for folder in stages if is_stage(folder, output_dir)}
    sealed = newest_sealed([output_dir / STAGING, *stages])
    if sealed is not None and sealed.name != record.get("checkpoint"):
        sealed = None  # of another run, whose folder had this name and was deleted
    newest = next(iter(checkpoints_in(output_dir)), None)
    if sealed is not None and (newest is None or step_of(sealed) > step_of(newest)):
        try:
            published = publish_sealed(sealed, output_dir)
        except OSError as error:
            raise RunError(
                f"{sealed}, which this run saved when it was preempted, cannot be published in {output_dir} ({error}). It is "
                "untouched: make room, and give the same command again."
            ) from error
        logger.warning("%s: publishing it from %s is finished, where the preempted run had saved it", published, sealed)
    elif record and not record.get("is_in_output_dir") and not (output_dir / str(record.get("checkpoint"))).is_dir():
        lost = f"{record.get('checkpoint')} is lost: the preempted run saved it to {record.get('stage')} of "
        lost += f"{record.get('host')}, and it is not there on {platform.node()}."
        logger.warning("%s %s", lost, f"Going on from {newest.name}." if newest else "There is no other checkpoint.")
    for folder in stages:
        shutil.rmtree(folder, ignore_errors=True)  # empty, of a save that was cut off, or older than what is there


def _preempted_record(output_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads((output_dir / "run" / PREEMPTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _newest_whole(output_dir: Path, asked: str) -> Path:
    faults = []
    for folder in checkpoints_in(output_dir):
        fault = _fault(folder)
        if fault is None:
            return folder
        faults.append(f"{folder.name}: {fault}")
        logger.warning("%s is passed over: %s", folder, fault)
    if faults:
        raise UserError(
            f"--resume_from_checkpoint {asked}: no checkpoint in {output_dir} is whole ({'; '.join(faults)})."
        )
    raise UserError(
        f"--resume_from_checkpoint {asked}: {output_dir} holds no checkpoint-N folder. Start without it, or with "
        "`auto`, which begins where there is none; or name the run's own --output_dir."
    )


def _fault(folder: Path) -> str | None:
    fault = check_whole(folder)
    if fault is None and (missing := [name for name in _NEEDED if not (folder / name).is_file()]):
        fault = f"it holds no {missing[0]}"
        if missing[0] != _NEEDED[0]:
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
    """Compare a run with the record of the one that it goes on from, before that record is written over.

    Args:
        resumed: the checkpoint; None for a run from the start. Where the record is gone nothing is compared.
        settings: as `resolved` gives them.
        data: what became of the rows, as for run/data.json.
        processes: that train together.

    Raises:
        UserError: for other rows, another order, or settings that the checkpoint's optimizer would not follow.
    """
    if resumed is None:
        return
    _check_rows(resumed, _rows(record_of(resumed, "data.json")), _rows(data))
    if theirs := record_of(resumed, "resolved.yaml"):
        _check_settings(resumed, theirs, settings)
        world = record_of(resumed, "env.json").get("world_size", processes)
        _check_split(resumed, _rows_of_a_step(theirs, world), _rows_of_a_step(settings, processes))


def _check_rows(resumed: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    if before and [*before] != [*now]:
        raise UserError(
            f"{resumed} has learnt from {_told(before)}, and this run has {_told(now)}: resume with the very rows of the run, "
            "which run/data.json names, or begin another run from its weights."
        )


def _check_settings(resumed: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for keys, why in (
        (_OPTIMIZER, "its optimizer goes on with its own"),
        (_ORDER, "it would go on with other rows than it left off"),
    ):
        for key in keys:
            if key in theirs and key in ours and theirs[key] != ours[key]:
                raise UserError(
                    f"{key} is {ours[key]} here and {theirs[key]} in the run that {resumed} is of: {why}. Resume with {key} "
                    f"{theirs[key]}, or begin another run from its weights."
                )


def _check_split(resumed: Path, before: int, now: int) -> None:
    if before != now:
        raise UserError(
            f"{resumed} is of a run with {before} rows a step, this one has {now}: choose {' x '.join(_SPLIT)} x processes so "
            "that it is the same."
        )


def _rows(data: Mapping[str, Any]) -> dict[str, str]:
    """Of all that is learnt from: fingerprints of the rows, in order, and where they were."""
    parts = [part for name in ("train", "replay") for part in data.get(name, {}).get("datasets", [])]
    return {part["fingerprint"]: part["path"] for part in parts if part.get("fingerprint")}


def _told(rows: Mapping[str, str]) -> str:
    return ", ".join(f"{path} ({fingerprint})" for fingerprint, path in rows.items()) or "none"


def _rows_of_a_step(settings: Mapping[str, Any], processes: int) -> int:
    return processes * math.prod(settings.get(key, 1) for key in _SPLIT)

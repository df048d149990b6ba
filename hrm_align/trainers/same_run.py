"""A resumed run is the run that its checkpoint is of: the same rows in the same order, under what its optimizer goes on with.

Transformers restores an optimizer with its own rates whatever the recipe says, and skips as many batches as were done
whatever they hold. The record of the run would then tell of data that it never saw, and forget those that it did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_align.errors import UserError
from hrm_align.run_folder import record_of

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

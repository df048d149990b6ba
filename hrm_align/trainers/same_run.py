"""A resumed run is the run that its checkpoint is of: the same rows in the same order, under what its optimizer goes on with.

Transformers restores an optimizer with its own rates whatever the recipe says, and skips as many batches as were done
whatever they hold. The record of the run would then tell of data that it never saw, and forget those that it did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hrm_align.errors import UserError

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
    run = resumed.parent / "run"
    theirs, trained_on = _read(run / "resolved.yaml"), _read(run / "data.json")
    before, now = _rows(trained_on), _rows(data)
    if before and [*before] != [*now]:
        raise UserError(
            f"{resumed} has learnt from {_told(before)}, and this run has {_told(now)}: resume with the very rows of the run, "
            "which run/data.json names, or begin another run from its weights."
        )
    other = [
        key for key in (*_OPTIMIZER, *_ORDER) if key in theirs and key in settings and theirs[key] != settings[key]
    ]
    if other:
        key, is_of_optimizer = other[0], other[0] in _OPTIMIZER
        why = (
            "its optimizer goes on with its own"
            if is_of_optimizer
            else "it would go on with other rows than it left off"
        )
        raise UserError(
            f"{key} is {settings[key]} here and {theirs[key]} in the run that {resumed} is of: {why}. Resume with {key} "
            f"{theirs[key]}, or begin another run from its weights."
        )
    world = _read(run / "env.json").get("world_size", processes)
    rows, asked = _rows_of_a_step(theirs, world), _rows_of_a_step(settings, processes)
    if theirs and rows != asked:
        raise UserError(
            f"{resumed} is of a run with {rows} rows a step, this one has {asked}: choose {' x '.join(_SPLIT)} x processes so "
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


def _read(path: Path) -> dict[str, Any]:
    """A record, JSON or YAML; empty where it is gone."""
    if not path.is_file():
        return {}
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return found

"""The files of a run: their names, the records in `output_dir/run`, and functions that read a finished run back.

    run/resolved.yaml   every setting with its value
    run/env.json        library versions, machine, and the precision and accumulation that ran
    run/data.json       data sets, rows used, rows dropped and why
    run/calibration.json  of a reward model: accuracy and calibration of its last evaluation
    run/held_out.jsonl  rows that `eval_fraction` held out, one conversation a line

An export starts from these records: they name the checkpoint, its base model, and where that base model comes from.
"""

from __future__ import annotations

import json
import logging
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import try_to_load_from_cache

from hrm_align._version import __version__
from hrm_align.config.arguments import add_ignored
from hrm_align.errors import PREEMPTED_CODE, UserError, join_names
from hrm_align.files import CLAIM, replace_file, replace_json
from hrm_align.models.adapters import Adapter, base_name, is_adapter, open_adapter
from hrm_align.models.loading import HUB_ID, TINY, resolve

logger = logging.getLogger(__name__)

PREEMPTED = "preempted.json"
MERGE = "merge.json"  # beside merged weights: the base model and the adapter they were merged from
STAGING = ".saving"  # folders that are being written or removed
HELD_OUT = "held_out.jsonl"
CALIBRATION = "calibration.json"  # how the last evaluation of a reward model ranked the held-out pairs
EMA_FOLDER = "ema"  # the averaged weights of a finished run: a checkpoint of its own, beside the trained one
_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "tokenizers")


def is_claim_file(name: str) -> bool:
    """Return whether a file of this name is a claim, or a leftover of a claim from a killed process or from NFS."""
    return name == CLAIM or name.startswith((f".{CLAIM}.", ".nfs"))


def check_folder(path: Path, resumed: Path | None, started_again: bool) -> None:
    """Refuse a folder that holds files this run would overwrite.

    Args:
        path: output_dir of the run.
        resumed: the checkpoint to resume from; a run may only be continued in its own folder.
        started_again: whether the run may have been killed here before its first checkpoint (`auto`).

    Raises:
        UserError: if the folder holds files of another run, or, with `started_again`, files that an interrupted start does
            not leave behind.
    """
    if resumed is not None and resumed.resolve().parent == path.resolve():
        return
    present = [file.relative_to(path) for file in path.rglob("*") if _belongs_to_run(file)]
    if started_again:
        present = [file for file in present if file.parts[0] not in _WRITTEN_BEFORE_CHECKPOINT]
    if not present:
        return
    if started_again:
        raise UserError(
            f"--resume_from_checkpoint auto: {path} holds no checkpoint to resume from, but "
            f"{join_names(map(str, sorted(present)))}, which an interrupted start does not leave behind. Nothing is overwritten: "
            "choose another --output_dir, or move the folder away."
        )
    raise UserError(
        f"{path} already holds files, and nothing is overwritten: choose another --output_dir, continue the run with "
        "--resume_from_checkpoint latest (or auto, which starts anew if no checkpoint was saved), or move the folder away."
    )


# What a run writes before its first checkpoint: records, logs, tracker files, the merged start of GRPO, an unfinished save.
_WRITTEN_BEFORE_CHECKPOINT = (
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


def _belongs_to_run(path: Path) -> bool:
    # A start that failed on a bad row leaves its quarantine file: after the row is fixed, the same command must work.
    return path.is_file() and not path.name.startswith("quarantine_") and not is_claim_file(path.name)


def environment(launch: Mapping[str, Any]) -> dict[str, Any]:
    """Return library versions and machine: everything outside the recipe that can change results.

    Args:
        launch: device, number of processes, precision and accumulation of the run, as its trainer has them.
    """
    return {
        "hrm_align": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        **launch,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object atomically."""
    replace_json(path, content, keep=False)


def write_preempted_record(output_dir: Path, step: int, stage: Path | None) -> None:
    """Write `run/preempted.json`, for the next start and for schedulers that see only the launcher's exit code.

    Args:
        output_dir: output_dir of the run.
        step: optimizer step of the checkpoint.
        stage: where the checkpoint is while it has not been copied to `output_dir`; None once it has.
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


def write_records(
    run: Path,
    settings: dict[str, Any],
    launch: Mapping[str, Any],
    data: dict[str, Any],
    held_out: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the records of a run, each atomically: a kill leaves the records of the resumed run intact.

    Args:
        run: folder of the records.
        settings: every setting, for `resolved.yaml`.
        launch: precision and accumulation that ran, for `env.json`.
        data: row counts, for `data.json`.
        held_out: rows that the run split off, for `held_out.jsonl`; no file is written without rows.
    """
    if held_out:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in held_out)
        replace_file(run / HELD_OUT, lambda file: file.write(lines.encode()), keep=False)
    text = yaml.safe_dump(settings, sort_keys=False)
    replace_file(run / "resolved.yaml", lambda file: file.write(text.encode()), keep=False)
    write_json(run / "env.json", environment(launch))
    write_json(run / "data.json", data)


def read_run_record(checkpoint: Path, name: str) -> dict[str, Any]:
    """Return the record `name` of the run that saved a checkpoint; empty if the file is missing or damaged."""
    path = checkpoint.parent / "run" / name
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        content = None
    if isinstance(content, dict):
        return content
    logger.warning(
        "%s is damaged, so the settings and rows of the resumed run cannot be compared with it: restore it from a backup, or "
        "check them yourself.",
        path,
    )
    return {}


LONGEST_CHAIN = 16  # runs, each of which started from the weights of the one before
CHECKPOINT, START = "checkpoint-", "start"  # folders in output_dir beside the final weights


@dataclass(frozen=True)
class Source:
    """A trained checkpoint or adapter, and the records of the run that made it.

    Args:
        run: folder that the user named.
        folder: folder of the weights: output_dir, one of its checkpoints, or `ema/`.
        adapter: the adapter, if the folder holds one.
        averaged: whether the weights are the run's averaged weights.
        step: step of the checkpoint, if the folder is a `checkpoint-N`; None for the final weights.
        settings: `run/resolved.yaml`; settings, data, guard and environment are empty if these weights have no record.
        data: `run/data.json`.
        guard: `run/guard.json`.
        environment: `run/env.json`.
        held_out: the held-out data sets, as entries of `datasets`: `run/held_out.jsonl`, or those of `eval_datasets` with all
            their rows; empty if the run held out no rows.
    """

    run: Path
    folder: Path
    adapter: Adapter | None = None
    averaged: bool = False
    step: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    guard: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    held_out: list[dict[str, Any]] = field(default_factory=list)

    @property
    def base(self) -> str | None:
        """Name of the model that training started from: the adapter's base, or the whole model; None if unknown."""
        if self.adapter is not None:
            return base_name(self.adapter)
        name = self.settings.get("model_name_or_path") or _read_json(self.folder / MERGE).get("base")
        return str(name) if name else None

    @property
    def start(self) -> str | None:
        """Path or name of the weights that training started from: the merged adapter in `start/` (GRPO), else `base`."""
        merged = self.folder / START
        return str(merged) if self.adapter is None and merged.is_dir() else self.base

    @property
    def conditions(self) -> dict[str, int]:
        """Conditions of the training rows with their counts, the most frequent first; empty if not recorded."""
        counts: Counter[str] = Counter()
        for part in self.data.get("train", {}).get("datasets", []):
            counts.update(part.get("conditions", {}))
        return dict(counts.most_common())

    @property
    def condition(self) -> str | None:
        """Condition for new prompts: the one of most training rows, else the run's default; None without a record."""
        return next(iter(self.conditions), self.settings.get("condition"))

    @property
    def match(self) -> str:
        """Name of the grader that the run used for its own answers."""
        names = [
            str(entry.get("name")) if isinstance(entry, dict) else str(entry)
            for entry in self.settings.get("rewards") or []
        ]
        return str(self.settings.get("generation_eval_match") or next(iter(names), "exact"))


def open_source(name: str, averaged: bool = False) -> Source:
    """Open a run, one of its checkpoints, or any checkpoint or adapter, with its records.

    Args:
        name: output_dir of a run, one of its `checkpoint-N`, or any folder of a checkpoint or adapter.
        averaged: use the averaged weights (`ema/`) of the run.

    Raises:
        UserError: if the folder holds no weights, or a record is damaged.
    """
    run = Path(name).expanduser()
    if not run.is_dir():
        raise UserError(f"there is no folder {name}: use the output_dir of a run.")
    folder = run / EMA_FOLDER if averaged else run
    if averaged and not folder.is_dir():
        raise UserError(f"{name} has no averaged weights ({EMA_FOLDER}/): train with ema_decay, or leave out --ema.")
    adapter = open_adapter(str(folder)) if is_adapter(str(folder)) else None
    if adapter is None:
        resolve(str(folder))  # raises UserError if a file is missing
    averaged = folder.name == EMA_FOLDER and (folder.parent / "run").is_dir()
    step = folder.name.removeprefix(CHECKPOINT) if folder.name.startswith(CHECKPOINT) else None
    records = (folder.parent if averaged or step else folder) / "run"
    settings, data, environment = (
        _read_yaml(records / "resolved.yaml"),
        _read_json(records / "data.json"),
        _read_json(records / "env.json"),
    )
    guard = {} if averaged or step else _read_json(records / "guard.json")  # scores of the final weights only
    held_out = _held_out(records / HELD_OUT, settings)
    return Source(run, folder, adapter, averaged, step, settings, data, guard, environment, held_out)


def _held_out(saved: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    if saved.is_file():
        return [{"path": str(saved), "condition": ""}]  # a row without a condition had none in the run either
    entries: list[Any] = [
        {"path": entry} if isinstance(entry, str) else entry for entry in settings.get("eval_datasets") or []
    ]
    ignored = settings.get("ignore_columns") or []
    return [
        {key: value for key, value in add_ignored(entry, ignored).items() if key != "fraction"} for entry in entries
    ]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): move it away, or restore it from a backup.") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValueError, TypeError):
        raise UserError(f"{path} is damaged: move it away, or restore it from a backup.") from None


def origin(name: str | None) -> str | None:
    """Return the published model that a chain of runs started from: a Hub id or `tiny`; None if the chain is broken.

    Args:
        name: base model of a run: a Hub id, or the folder of an earlier run or merge.
    """
    for _ in range(LONGEST_CHAIN):
        if published := public_name(name):
            return published
        try:
            name = open_source(str(name)).base
        except UserError:
            return None
    return None


def is_run_result(name: str | None) -> bool:
    """Return whether a folder holds the result of a run or merge with its records; a copied base model has no records."""
    try:
        return name is not None and Path(name).expanduser().is_dir() and open_source(name).base is not None
    except UserError:
        return False


def public_name(name: str | None) -> str | None:
    """Return the name if other machines can load the same weights by it (`tiny`, or an id fetched from the Hub), else None.

    A missing folder `runs/mine` looks like a Hub id, so only ids that are in the Hub client's cache count.
    """
    if not name or Path(name).expanduser().exists():
        return None
    is_fetched = name.count("/") == 1 and isinstance(try_to_load_from_cache(name, "config.json"), str)
    return name if name in (TINY, HUB_ID) or is_fetched else None

"""The files of a run: their names, the records in `output_dir/run`, and what a later command reads back from them.

`resolved.yaml` holds the settings, `env.json` the machine and its versions, `data.json` the rows used. An export starts from
these records: the checkpoint, its base, and where that base comes from.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import try_to_load_from_cache

from hrm_align._version import __version__
from hrm_align.errors import PREEMPTED_CODE, UserError, some
from hrm_align.files import replace_file, replace_json
from hrm_align.models.adapters import Adapter, base_of, is_adapter, open_adapter
from hrm_align.models.loading import HUB_ID, TINY, resolve

logger = logging.getLogger(__name__)

PREEMPTED = "preempted.json"
MERGE = "merge.json"  # beside merged weights: what they were merged from
CLAIM = "claim.json"
STAGING = ".saving"  # what is being written, and what is being removed
EMA_FOLDER = "ema"  # the averaged weights of a finished run: a checkpoint of its own, beside the trained one
_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "tokenizers")


def is_of_claim(name: str) -> bool:
    """Whether a file of this name is a claim, or what a killed process or NFS has left of one."""
    return name == CLAIM or name.startswith((f".{CLAIM}.", ".nfs"))


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


LONGEST_CHAIN = 16  # of runs, each begun where another ended
CHECKPOINT, START = "checkpoint-", "start"  # folders of a run beside its result


@dataclass(frozen=True)
class Source:
    """A trained checkpoint or adapter, and the records of the run that made it.

    Args:
        run: folder that the user named.
        folder: of the weights: of the run, of one of its checkpoints, or of its averaged weights.
        adapter: if that is what it holds.
        averaged: whether the weights are the run's averages.
        step: of a checkpoint of a run; None for its end.
        settings: `run/resolved.yaml`; this and the next three are empty where there is no record of *these* weights.
        data: `run/data.json`.
        guard: `run/guard.json`.
        environment: `run/env.json`.
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

    @property
    def base(self) -> str | None:
        """The name of the model that training began with: of the adapter's base, or of the whole model; None if unknown."""
        if self.adapter is not None:
            return base_of(self.adapter)
        name = self.settings.get("model_name_or_path") or _json(self.folder / MERGE).get("base")
        return str(name) if name else None

    @property
    def start(self) -> str | None:
        """Where those weights are. GRPO begins at the merge of an adapter, which the run has kept."""
        merged = self.folder / START
        return str(merged) if self.adapter is None and merged.is_dir() else self.base

    @property
    def conditions(self) -> dict[str, int]:
        """Conditions of the rows that were learnt, the most frequent first; empty where it was not recorded."""
        counts: Counter[str] = Counter()
        for part in self.data.get("train", {}).get("datasets", []):
            counts.update(part.get("conditions", {}))
        return dict(counts.most_common())

    @property
    def condition(self) -> str | None:
        """The condition to ask under: of most rows, else the run's default; None without a record."""
        return next(iter(self.conditions), self.settings.get("condition"))

    @property
    def match(self) -> str:
        """How the run graded its own answers."""
        names = [
            str(entry.get("name")) if isinstance(entry, dict) else str(entry)
            for entry in self.settings.get("rewards") or []
        ]
        return str(self.settings.get("generation_eval_match") or next(iter(names), "exact"))


def open_source(name: str, averaged: bool = False) -> Source:
    """Read a run.

    Args:
        name: output_dir of a run, one of its `checkpoint-N`, or any folder of a checkpoint or adapter.
        averaged: take the averaged weights (`ema/`) of the run.

    Raises:
        UserError: if there is nothing to export, or a record is damaged.
    """
    run = Path(name).expanduser()
    if not run.is_dir():
        raise UserError(f"there is no folder {name}: name the output_dir of a run.")
    folder = run / EMA_FOLDER if averaged else run
    if averaged and not folder.is_dir():
        raise UserError(f"{name} has no averaged weights ({EMA_FOLDER}/): train with ema_decay, or leave out --ema.")
    adapter = open_adapter(str(folder)) if is_adapter(str(folder)) else None
    if adapter is None:
        resolve(str(folder))  # says what is missing
    averaged = folder.name == EMA_FOLDER and (folder.parent / "run").is_dir()
    step = folder.name.removeprefix(CHECKPOINT) if folder.name.startswith(CHECKPOINT) else None
    records = (folder.parent if averaged or step else folder) / "run"
    settings, data, environment = (
        _yaml(records / "resolved.yaml"),
        _json(records / "data.json"),
        _json(records / "env.json"),
    )
    guard = {} if averaged or step else _json(records / "guard.json")  # it has scored the weights of the run's end
    return Source(run, folder, adapter, averaged, step, settings, data, guard, environment)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): move it away, or restore it from a backup.") from None


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValueError, TypeError):
        raise UserError(f"{path} is damaged: move it away, or restore it from a backup.") from None


def origin(name: str | None) -> str | None:
    """The base that a chain of runs began with: a Hub id or `tiny`; None where the chain breaks off.

    Args:
        name: of a base as a run knows it, which may be the folder of an earlier run or merge.
    """
    for _ in range(LONGEST_CHAIN):
        if found := public_name(name):
            return found
        try:
            name = open_source(str(name)).base
        except UserError:
            return None
    return None


def is_result_of_a_run(name: str | None) -> bool:
    """Whether a folder holds what an earlier run or merge has made, as its records say; a copied base has none."""
    try:
        return name is not None and Path(name).expanduser().is_dir() and open_source(name).base is not None
    except UserError:
        return False


def public_name(name: str | None) -> str | None:
    """The name, if others find the same weights under it: `tiny`, or an id that was fetched from the Hub.

    `runs/mine` looks like an id, too, where that folder has gone: what was fetched is in the client's cache.
    """
    if not name or Path(name).expanduser().exists():
        return None
    fetched = name.count("/") == 1 and isinstance(try_to_load_from_cache(name, "config.json"), str)
    return name if name in (TINY, HUB_ID) or fetched else None

"""What is exported: a run as it lies on disk, with what its records say of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import try_to_load_from_cache

from hrm_align.errors import UserError
from hrm_align.models.merging import RECORD as MERGE
from hrm_align.models.adapters import Adapter, base_of, is_adapter, open_adapter
from hrm_align.models.loading import HUB_ID, TINY, resolve
from hrm_align.trainers.checkpoint_mixin import EMA_FOLDER

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

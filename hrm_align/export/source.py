"""What is exported: a run as it lies on disk, with what its records say of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hrm_align.errors import UserError
from hrm_align.merging import RECORD as MERGE
from hrm_align.models.adapters import Adapter, base_of, is_adapter, open_adapter
from hrm_align.models.loading import TINY, resolve
from hrm_align.trainers.safe_saving import EMA_FOLDER

LONGEST_CHAIN = 16  # of runs, each begun where another ended


@dataclass(frozen=True)
class Source:
    """A trained checkpoint or adapter, and the records of the run that made it.

    Args:
        run: folder that the user named.
        folder: of the weights: of the run, of one of its checkpoints, or of its averaged weights.
        adapter: if that is what it holds.
        averaged: whether the weights are the run's averages.
        settings: `run/resolved.yaml`; this and the next three are empty where there is no record.
        data: `run/data.json`.
        guard: `run/guard.json`.
        environment: `run/env.json`.
    """

    run: Path
    folder: Path
    adapter: Adapter | None = None
    averaged: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    guard: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> str | None:
        """The name of the model that training began with: of the adapter's base, or of the whole model; None if unknown."""
        if self.adapter is not None:
            return base_of(self.adapter)
        name = self.settings.get("model_name_or_path") or _record(self.folder / MERGE).get("base")
        return str(name) if name else None

    @property
    def start(self) -> str | None:
        """Where those weights are. GRPO begins at the merge of an adapter, which the run has kept."""
        merged = self.run / "start"
        return str(merged) if merged.is_dir() else self.base


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
    records = next((path / "run" for path in (run, run.parent) if (path / "run/resolved.yaml").is_file()), None)
    if records is None:
        return Source(run, folder, adapter, averaged)
    settings = yaml.safe_load((records / "resolved.yaml").read_text(encoding="utf-8"))
    data, guard, environment = (_record(records / f"{part}.json") for part in ("data", "guard", "env"))
    return Source(run, folder, adapter, averaged, settings, data, guard, environment)


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): move it away, or restore it from a backup.") from None


def origin(name: str | None) -> str | None:
    """The base that a chain of runs began with: a Hub id or `tiny`; None where the chain breaks off.

    Args:
        name: of a base as a run knows it, which may be the folder of an earlier run or merge.
    """
    for _ in range(LONGEST_CHAIN):
        if name == TINY or hub_id(name):
            return name
        try:
            name = open_source(str(name)).base
        except UserError:
            return None
    return None


def hub_id(name: str | None) -> str | None:
    """The name, if it is one of the Hub's: no folder, not `tiny`, two parts."""
    if not name or name == TINY or Path(name).expanduser().exists():
        return None
    return name if name.count("/") == 1 and not name.startswith((".", "/", "~")) else None

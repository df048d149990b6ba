"""Read a run back from its folder: settings, steps, state, metrics and the last held-out score.

    run = read_run(Path("runs/mine"))
    run.state, run.step, run.planned  ->  "finished", 1508, 1508
    run.held_out_score()              ->  Measure("eval_exact_match", 0.96, step=1508)

A damaged record is no error: the run is read without it, and `problems` names it.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hrm_align.config.checks import kind_of
from hrm_align.files import CLAIM
from hrm_align.rewards.base import metric_name
from hrm_align.trainers.claim import STALE_AFTER, Owner, lives

SETTINGS = Path("run/resolved.yaml")
RUNNING, FINISHED, PREEMPTED, STOPPED = "running", "finished", "preempted", "stopped"
_RUN_TIME = "train_runtime"  # metric of the last record of a training that ran to its end


class Measure(NamedTuple):
    """The value of a metric at a step."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class RunHistory:
    """The records of a run.

    Args:
        folder: output_dir of the run.
        settings: `run/resolved.yaml`; like the four records below, empty if it is missing or damaged.
        data: `run/data.json`.
        environment: `run/env.json`.
        guard: `run/guard.json`.
        trainer_state: `trainer_state.json` of the finished run, else of its newest checkpoint.
        metrics: records of `metrics.jsonl` in order, without those of weights that a resumed run has lost.
        state: `running` (a live process holds the claim), `finished`, `preempted` (stopped by a signal, with a checkpoint),
            or `stopped` (killed or failed).
        step: optimizer steps done.
        changed: time of the last record, in seconds since 1970.
        problems: one sentence for each damaged record.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    guard: dict[str, Any] = field(default_factory=dict)
    trainer_state: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    state: str = STOPPED
    step: int = 0
    changed: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str | None:
        """Return the kind of the recipe, such as `sft`; None if the settings are unknown."""
        return kind_of(self.settings) if self.settings else None

    @property
    def trained_part(self) -> str | None:
        """Return `adapter` or `full`; None if the settings are unknown."""
        if not self.settings:
            return None
        return "adapter" if self.settings.get("use_peft") else "full"

    @property
    def planned(self) -> int | None:
        """Return the number of steps that the run was to take; None if it is unknown."""
        for record in (self.settings, self.trainer_state):
            if 0 < (limit := as_number(record.get("max_steps"))) < math.inf:
                return int(limit)
        for record in reversed(self.metrics):  # killed before the first checkpoint: a record has its step and its epoch
            epochs = as_number(self.settings.get("num_train_epochs"))
            if (epoch := as_number(record.get("epoch"))) > 0 and record["step"] > 0 and 0 < epochs < math.inf:
                return math.ceil(round(record["step"] / epoch) * epochs)
        return None

    @property
    def main_metric(self) -> str:
        """Return the name of the training metric that shows progress: the loss of `grpo` is 0 by construction."""
        return "reward" if self.kind == "grpo" else "loss"

    @property
    def score_name(self) -> str:
        """Return the name of the score of answers to held-out prompts, or of held-out pairs, in `metrics.jsonl`."""
        if self.kind == "grpo":
            return "eval_reward"
        if self.kind == "reward":
            return "eval_accuracy"
        return f"eval_{metric_name(str(self.settings.get('generation_eval_match', 'exact')))}"

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Return the steps and values of a metric; where a step was logged twice, the later value."""
        points = {record["step"]: as_number(record[name]) for record in self.metrics if name in record}
        return sorted(points.items())

    def last(self, name: str) -> Measure | None:
        """Return the last value of a metric; None if it was never logged."""
        points = self.curve(name)
        return Measure(name, points[-1][1], points[-1][0]) if points else None

    def held_out_score(self) -> Measure | None:
        """Return the last score of held-out answers, else the last loss on held-out rows; None without evaluations."""
        return self.last(self.score_name) or self.last("eval_loss")


def as_number(value: Any) -> float:
    """Return a metric or setting as a number: metrics.jsonl holds NaN and infinity as text. NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def is_run(folder: Path | str) -> bool:
    """Return whether a folder is the output_dir of a run: it holds the run's settings, or the claim of a run that starts."""
    return os.path.isfile(Path(folder, SETTINGS)) or os.path.isfile(Path(folder, "run", CLAIM))


def read_run(folder: Path) -> RunHistory:
    """Read the records of a run."""
    problems: list[str] = []
    settings = _read_record(folder / SETTINGS, problems)
    data, environment, guard = (
        _read_record(folder / "run" / f"{name}.json", problems) for name in ("data", "env", "guard")
    )
    metrics, has_ended = _read_metrics(folder / "metrics.jsonl", problems)
    final = _read_record(folder / "trainer_state.json", problems)
    logged, claim = _changed(folder / "metrics.jsonl"), folder / "run" / CLAIM
    # A checkpoint from before the last record may belong to lost weights; one from after it may have more steps.
    checkpoints = [
        (number, path)
        for number, path in sorted(_find_checkpoints(folder))
        if _changed(path) >= logged or not metrics or number <= metrics[-1]["step"]
    ]
    newest = _read_record(checkpoints[-1][1] / "trainer_state.json", problems) if checkpoints else {}
    step = max([record["step"] for record in metrics] + [number for number, _ in checkpoints], default=0)
    if _is_claimed(claim):
        state = RUNNING
    elif (folder / "run/preempted.json").is_file():
        state = PREEMPTED
    else:  # an earlier, shorter training may have ended in this folder: its last step is then below those of the metrics
        state = FINISHED if has_ended and final.get("global_step") == step else STOPPED
    changed = max(logged, _changed(folder / SETTINGS), _changed(claim))
    trainer_state = final if final and state == FINISHED else newest
    return RunHistory(
        folder, settings, data, environment, guard, trainer_state, metrics, state, step, changed, problems
    )


def _read_record(path: Path, problems: list[str]) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML file; if it is missing or damaged, an empty one, with the damage in `problems`."""
    if not os.path.lexists(path):
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        problems.append(f"{path} cannot be read ({error.strerror})")
        return {}
    except (ValueError, yaml.YAMLError, RecursionError):
        content = None
    if isinstance(content, dict):
        return content
    problems.append(f"{path} is damaged")
    return {}


def _read_metrics(path: Path, problems: list[str]) -> tuple[list[dict[str, Any]], bool]:
    """Return the records of weights that were not lost, and whether the last training in the folder ran to its end.

    A line `{"step": N, "resumed_from": ...}` says that training continues from step N: records above with later steps belong
    to lost weights. With `null` it begins again, and all records above are lost.
    """
    if not path.is_file():
        return [], False
    records: list[dict[str, Any]] = []
    damaged, has_ended = [], False
    *lines, rest = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate([*lines, rest] if _parse(rest) else lines, start=1):  # the rest may be half a line
        if not line.strip():
            continue
        record = _parse(line)
        if record is None:
            damaged.append(number)
        elif "resumed_from" in record:
            begins_again = record["resumed_from"] is None
            records = [known for known in records if known["step"] <= record["step"] and not begins_again]
            has_ended = False
        else:
            records.append(record)
            has_ended = has_ended or _RUN_TIME in record
    if damaged:
        shown = ", ".join(map(str, damaged[:3])) + (" and others" if len(damaged) > 3 else "")
        problems.append(f"{path} is damaged in line {shown}, which is left out")
    return records, has_ended


def _parse(line: str) -> dict[str, Any] | None:
    """Return the record in a line of metrics.jsonl; None if there is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if is_record else None


def _find_checkpoints(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield step and folder of each checkpoint."""
    for path in folder.glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        if number.isdecimal() and path.is_dir():
            yield int(number), path


def _is_claimed(claim: Path) -> bool:
    """Return whether a run trains in the folder now: its process lives, or, on another host, has renewed its claim lately."""
    try:
        owner, age = (
            Owner.read(claim.read_text(encoding="utf-8", errors="replace")),
            time.time() - claim.stat().st_mtime,
        )
    except OSError:
        return False
    alive = lives(owner)
    return age < STALE_AFTER if alive is None else alive


def _changed(path: Path) -> float:
    """Return when a file was last written, in seconds since 1970; 0 if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


@dataclass(frozen=True)
class RunFolders:
    """Runs below a folder.

    Attributes:
        sizes: bytes on disk of each run, without those of runs inside it.
        others: folders directly below that neither are nor contain a run.
    """

    sizes: dict[Path, int]
    others: list[Path]


def find_runs(folder: Path) -> RunFolders:
    """Find the runs in a folder, at any depth. Links to folders are not followed."""
    owners: dict[str, str | None] = {}  # the innermost run that each visited folder belongs to
    sizes: dict[str, int] = {}
    for place, _, files in os.walk(folder):
        owner = place if is_run(place) else owners.get(os.path.dirname(place))
        owners[place] = owner
        if owner is not None:
            sizes[owner] = sizes.get(owner, 0) + sum(map(_bytes, (os.path.join(place, name) for name in files)))
    others = []
    for child in sorted(folder.iterdir()):
        holds_run = any(Path(run) == child or child in Path(run).parents for run in sizes)
        if child.is_dir() and not child.name.startswith(".") and not holds_run and not is_run(folder):
            others.append(child)
    return RunFolders({Path(run): size for run, size in sizes.items()}, others)


def _bytes(file: str) -> int:
    try:
        return os.lstat(file).st_size
    except OSError:  # removed meanwhile
        return 0

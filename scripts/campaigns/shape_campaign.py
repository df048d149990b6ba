"""The state of a `real_shape.py` campaign: its folders, how it runs commands, and its records."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measured import Measured, run

ROOT = Path(__file__).parents[2]
GB = 10**9
IMPORTS = "imports"  # the step that measures the memory of imports alone


class StepError(Exception):
    """Raised if a command of a step failed or its result is wrong."""


@dataclass
class Campaign:
    """The folders, limits and records of a campaign.

    Args:
        out: folder of all outputs.
        state: JSONL file with one record a step.
        model: folder of the checkpoint.
        shape: shape of the random checkpoint; None if the user gave a checkpoint.
        memory: available bytes; steps with a larger estimate are not run.
        length: tokens of a packed row.
        answer: longest answer, in tokens.
        records: records of finished steps, by name.
    """

    out: Path
    state: Path
    model: Path
    shape: str | None
    memory: int
    length: int
    answer: int
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def python(self, log: str, *words: object, kill_when: Callable[[], bool] | None = None) -> Measured:
        """Run Python with these arguments; its outputs go to `OUT/logs`."""
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, *map(str, words)]
        return run(command, self.out / "logs" / log, environment, ROOT, kill_when)

    def command(self, log: str, *words: object, kill_when: Callable[[], bool] | None = None) -> Measured:
        """Run `hrm-align` with these arguments. Raises StepError if it fails, unless it was killed on purpose."""
        done = self.python(log, "-m", "hrm_align.cli", *words, kill_when=kill_when)
        if done.code and kill_when is None:
            raise StepError(f"`hrm-align {words[0]}` ended with {done.code}: {last_line(done.errors or done.output)}")
        return done

    def fresh(self, name: str) -> Path:
        """Return a path in OUT where nothing exists; files of an interrupted step are deleted."""
        path = self.out / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def estimate(self, log: str, *words: object) -> int:
        """Return the bytes that `hrm-align estimate` predicts for a recipe."""
        done = self.command(f"{log}-estimate", "estimate", *words, "--json")
        return int(json.loads(done.output.splitlines()[-1])["total"])

    def record(self, name: str, content: dict[str, Any]) -> None:
        """Append the record of a step to the state file."""
        self.records[name] = content
        whole = not self.state.exists() or self.state.read_bytes()[-1:] in (b"", b"\n")
        with self.state.open("a", encoding="utf-8") as file:
            file.write("" if whole else "\n")  # ends a line that a kill has truncated
            file.write(json.dumps({"step": name, **content}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def imports(self) -> int:
        """Peak resident memory in bytes of a process that only imports the trainers."""
        return int(self.done(IMPORTS)["peak"])

    def done(self, name: str) -> dict[str, Any]:
        """Return the record of an earlier step. Raises StepError if that step was not run or failed."""
        record = self.records.get(name, {"failed": "not run"})
        if "failed" in record:
            raise StepError(f"needs the step `{name}`, whose result is: {record['failed']}")
        return record


@dataclass(frozen=True)
class Step:
    """One row of the table.

    Args:
        name: name of the row.
        work: runs the step and returns its record; see `result`.
        bar: memory limit of the largest process in bytes; None for no limit.
    """

    name: str
    work: Callable[[Campaign], dict[str, Any]]
    bar: float | None = None


def result(done: Measured, estimate: int | None = None, note: str = "", **facts: Any) -> dict[str, Any]:
    """Return the record of a successful step."""
    numbers = {
        "seconds": round(done.seconds, 1),
        "cpu_seconds": round(done.cpu_seconds, 1),
        "peak": done.peak,
        "child_peak": done.child_peak,
        "together": done.together,
    }
    return {**numbers, "estimate": estimate, "note": note, **facts}


def last_line(text: str) -> str:
    """Return the last non-empty line of an output, at most 400 characters."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else "no output"

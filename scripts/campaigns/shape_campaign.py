"""The campaign of `real_shape.py`: where it runs, how it runs a command, what it records."""

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
IMPORTS = "imports"  # the step whose peak is what importing alone takes


class StepError(Exception):
    """A command of a step failed, or its result is wrong."""


@dataclass
class Campaign:
    """Where the campaign runs and what it has measured.

    Args:
        out: folder of all outputs.
        state: JSONL file, one record a step.
        model: folder of the checkpoint.
        shape: of the random checkpoint; None for one that was given.
        memory: bytes; steps that need more by their estimate are not run.
        length: tokens of a packed row.
        answer: longest answer, in tokens.
        records: of steps that are done, by name.
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
        """A path in OUT at which nothing stands, whatever an interrupted step has left there."""
        path = self.out / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def estimate(self, log: str, *words: object) -> int:
        """Bytes that `hrm-align estimate` gives for a recipe."""
        done = self.command(f"{log}-estimate", "estimate", *words, "--json")
        return int(json.loads(done.output.splitlines()[-1])["total"])

    def record(self, name: str, content: dict[str, Any]) -> None:
        """Append the record of a step to the state file."""
        self.records[name] = content
        whole = not self.state.exists() or self.state.read_bytes()[-1:] in (b"", b"\n")
        with self.state.open("a", encoding="utf-8") as file:
            file.write("" if whole else "\n")  # ends a line that a kill has cut
            file.write(json.dumps({"step": name, **content}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def imports(self) -> int:
        """Bytes, peak resident memory of a process that only imports the trainers."""
        return int(self.done(IMPORTS)["peak"])

    def done(self, name: str) -> dict[str, Any]:
        """The record of an earlier step. Raises StepError if it was not run, or failed."""
        record = self.records.get(name, {"failed": "it was not run"})
        if "failed" in record:
            raise StepError(f"it needs the step `{name}`, and there: {record['failed']}")
        return record


@dataclass(frozen=True)
class Step:
    """One row of the table.

    Args:
        name: of the row.
        work: runs it. Returns a record: see `result`.
        bar: bytes below which the largest process must stay; None for no bar.
    """

    name: str
    work: Callable[[Campaign], dict[str, Any]]
    bar: float | None = None


def result(done: Measured, estimate: int | None = None, note: str = "", **facts: Any) -> dict[str, Any]:
    """The record of a step that went as it should."""
    numbers = {
        "seconds": round(done.seconds, 1),
        "cpu_seconds": round(done.cpu_seconds, 1),
        "peak": done.peak,
        "child_peak": done.child_peak,
        "together": done.together,
    }
    return {**numbers, "estimate": estimate, "note": note, **facts}


def last_line(text: str) -> str:
    """The last line of an output that is not empty, shortened."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else "no output"

"""What a run leaves behind: one JSON object a log step, and sample answers, written as they come."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from hrm_align.errors import RunError

HEALTH = "health/"
# Prefixes of what goes to the trackers and metrics.jsonl, but not to the console.
QUIET = (
    HEALTH,
    "clip_ratio/",
    "completions/m",
    "frac_reward",
    "groups/drawn",
    "num_tokens",
    "parity/",
    "rewards/",
    "seconds/",
)


def append_json_line(path: Path, record: dict[str, Any]) -> None:
    """Append one object to a JSONL file, whole or not at all.

    A number that JSON has no word for (NaN, infinity) becomes its name.

    Raises:
        RunError: if the disk does not take it.
    """
    named = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    line = (json.dumps(named, ensure_ascii=False) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            if file.write(line) < len(line):  # half a line would break every reader of the resumed run's file
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise RunError(
            f"cannot write a line of {len(line):,} bytes to {path} ({error.strerror}): make room, and go on with "
            "--resume_from_checkpoint latest."
        ) from error


class MetricsFile(TrainerCallback):
    """Writes every log record to `metrics.jsonl`, whatever trackers are configured.

    Args:
        path: of the file; records are appended.
        resumed: the checkpoint that the run goes on from. The file then says so, because steps behind that checkpoint may
            stand in it twice: those before the line are of weights that were lost. The line of a run that was killed before
            its first checkpoint, and begins again, names none.
    """

    def __init__(self, path: Path, resumed: Path | None = None):
        self.path, self.resumed = path, resumed

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **kwargs: Any) -> None:
        """Note where a resumed run goes on."""
        begins_again = self.resumed is None and self.path.exists()
        if state.is_world_process_zero and (self.resumed is not None or begins_again):
            resumed_from = None if begins_again else str(self.resumed)
            append_json_line(self.path, {"step": state.global_step, "resumed_from": resumed_from})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append the record, on the main process only."""
        if state.is_world_process_zero and logs:
            append_json_line(self.path, {"step": state.global_step, **logs})


class _Short(TrainerCallback):
    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Print a record that fits on a line or two."""
        shown = {name: value for name, value in (logs or {}).items() if not name.startswith(QUIET)}
        super().on_log(args, state, control, logs=shown, **kwargs)


class _ShortProgress(_Short, ProgressCallback): ...


class _ShortPrinter(_Short, PrinterCallback): ...


def shorten_console(trainer: Trainer) -> None:
    """Keep what is for the trackers from the console: a record of reinforcement learning has fifty metrics."""
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(_ShortProgress())
    if trainer.pop_callback(PrinterCallback) is not None:
        trainer.add_callback(_ShortPrinter())

"""What a run leaves behind: one JSON object a log step, and sample answers, written as they come."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


def append_json_line(path: Path, record: dict[str, Any]) -> None:
    """Append one object to a JSONL file. A number that JSON has no word for (NaN, infinity) becomes its name."""
    named = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(named, ensure_ascii=False) + "\n")


class MetricsFile(TrainerCallback):
    """Writes every log record to `metrics.jsonl`, whatever trackers are configured."""

    def __init__(self, path: Path):
        self.path = path

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

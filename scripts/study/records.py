"""Records of finished measurements, from which an interrupted study continues."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Records:
    """Finished measurements by key, in a JSONL file from which an interrupted study continues.

    Each line is {"key": {...}, "value": {..., "cpu_seconds": 5.2}}. A key must contain everything that the value depends on;
    otherwise a changed study would reuse an outdated value.
    """

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.known = {self._name(record["key"]): record["value"] for record in map(json.loads, lines)}

    @staticmethod
    def _name(key: dict[str, Any]) -> str:
        return json.dumps(key, sort_keys=True)

    def measured(self, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the recorded value of a key. If there is none, measure the value and record it."""
        name = self._name(key)
        if name not in self.known:
            started = time.process_time()
            value = measure()
            value["cpu_seconds"] = time.process_time() - started
            self.known[name] = value
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "value": value}) + "\n")
            print(name, f"{value['cpu_seconds']:.0f} s", file=sys.stderr, flush=True)
        return self.known[name]

"""The command line of a study: its options, and the line of conditions above its tables."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from hrm_align.commands.common import at_least
from study.runs import Study
from study.settings import digest


def options(argv: Sequence[str], description: str | None, parts: Iterable[str], out: str) -> argparse.Namespace:
    """Read --out, --only, --seeds and --steps.

    Raises:
        UserError: if --seeds or --steps is below 1.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(out), help="folder of records.jsonl")
    parser.add_argument("--only", choices=list(parts), help="run only this part")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm")
    parser.add_argument("--steps", type=int, default=240, help="optimizer steps of a run")
    arguments = parser.parse_args(argv)
    at_least(arguments.seeds, 1, "--seeds")
    at_least(arguments.steps, 1, "--steps")
    return arguments


def conditions(study: Study) -> str:
    """Return the line above the tables: processor, packages, date, base, steps, seeds and held-out rows."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((x.split(":")[1].strip() for x in info.read_text().splitlines() if "model name" in x), cpu)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    rows = ", ".join(f"{len(setting.held_out)} held-out rows {setting.name}" for setting in study.settings)
    return (
        f"{cpu}, one thread, fp32; {packages}; {time.strftime('%d %B %Y')}; embedded base {digest('model.safetensors')}; "
        f"{study.steps} steps, {study.seeds} seeds; {rows}."
    )

"""The command line of a benchmark: its options, the description of the machine, the table and the JSON file."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from study.tables import table

from bench.race import Figures, median_and_range, ratios
from bench.shapes import SHAPES
from hrm_align.commands.common import at_least


def options(
    argv: Sequence[str], description: str | None, name: str, switches: Mapping[str, str] = {}
) -> argparse.Namespace:
    """Parse --shape, --rounds, --threads, --out and a benchmark's own switches.

    Args:
        argv: command-line arguments.
        description: text of --help.
        name: name of the benchmark, from which the default of --out is made.
        switches: help texts of the benchmark's own switches, by switch.

    Raises:
        UserError: if --rounds or --threads is below 1.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    shape = "1b" if torch.cuda.is_available() else "small"
    parser.add_argument("--shape", choices=list(SHAPES), default=shape, help="shape of the random model")
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each arm")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path(f"runs/{name}.json"), help="JSON file of the figures")
    for switch, words in switches.items():
        parser.add_argument(switch, action="store_true", help=words)
    arguments = parser.parse_args(argv)
    at_least(arguments.rounds, 1, "--rounds")
    at_least(arguments.threads, 1, "--threads")
    return arguments


def machine(threads: int) -> str:
    """Return a description of the machine: GPU or CPU, precision, package versions and date."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    cpu = f"{names[0] if names else platform.machine()}, {threads} threads, fp32"
    device = f"{torch.cuda.get_device_name()}, bf16" if torch.cuda.is_available() else cpu
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    return f"{device}; {packages}; {time.strftime('%d %B %Y')}"


def report(arguments: argparse.Namespace, figures: Mapping[str, Figures], ours: str, more: dict[str, Any]) -> None:
    """Print the table and write all figures to --out.

    Args:
        arguments: parsed options of the command.
        figures: figures by arm.
        ours: the arm with which the others are compared.
        more: further entries of the JSON file.
    """
    head = ["arm", "seconds", "useful tokens/s", f"speed of {ours} / this arm", "peak MiB"]
    rows, compared = [], {}
    for name, own in figures.items():
        if name != ours:
            compared[name] = ratios(figures, ours, name)
        rows.append([
            name,
            median_and_range(own.seconds),
            f"{statistics.median(own.rates):.0f}",
            median_and_range(compared[name]) if name != ours else "",
            f"{own.peak:.0f}",
        ])  # fmt: skip
    print(f"{machine(arguments.threads)}; shape {arguments.shape}, {arguments.rounds} rounds: median (range).")
    print(*table(head, rows), sep="\n")
    record = {
        "machine": machine(arguments.threads),
        "shape": arguments.shape,
        "arms": {name: asdict(own) for name, own in figures.items()},
        "ratios": compared,
        **more,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

"""Markdown tables: means and ranges over seeds, changes over prompts, and whether two arms differ in all seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

# The columns of `quality`. "differs?" is "lower" or "higher" if the ranges over seeds do not overlap, and "no" if they do.
QUALITY = ["loss", "differs?", "token accuracy %", "exact match %", "differs?"]


def spread(values: Iterable[float], digits: int = 2, factor: float = 1.0) -> str:
    """Format the mean and range of values, each multiplied by `factor`."""
    scaled = [factor * value for value in values]
    return f"{statistics.mean(scaled):.{digits}f} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def difference(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean change over prompts and its 95 % interval, all in percentage points."""
    changes = [100 * (b - a) for a, b in zip(before, after, strict=True)]
    mean, error = statistics.mean(changes), 1.96 * statistics.stdev(changes) / math.sqrt(len(changes))
    return mean, mean - error, mean + error


def median_and_range(values: Sequence[float]) -> str:
    """Format the median and range of values."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def compare_ranges(arm: Sequence[dict], reference: Sequence[dict], name: str = "loss") -> str:
    """Return "lower" or "higher" if all seeds of an arm are below or above all seeds of the reference, else "no".

    Equal results, such as those of the reference itself, give an empty string.
    """
    ours, theirs = [run[name] for run in arm], [run[name] for run in reference]
    if ours == theirs:
        return ""
    return "lower" if max(ours) < min(theirs) else "higher" if min(ours) > max(theirs) else "no"


def quality(runs: Sequence[dict], reference: Sequence[dict]) -> list[str]:
    """Return the cells of one arm: its results over seeds, and whether they differ from those of the reference."""
    return [
        spread(run["loss"] for run in runs),
        compare_ranges(runs, reference),
        spread((run["token_accuracy"] for run in runs), 1, 100),
        spread((run["exact_match"] for run in runs), 1, 100),
        compare_ranges(runs, reference, "exact_match"),
    ]


def quality_before(start: dict) -> list[str]:
    """Return the cells of `quality` for a model before training, which has no seeds."""
    accuracy = [f"{100 * start[name]:.1f}" for name in ("token_accuracy", "exact_match")]
    return [f"{start['loss']:.2f}", "", *accuracy, ""]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, the first one blank."""
    return ["", *("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))]

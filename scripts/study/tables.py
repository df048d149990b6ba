"""Markdown tables: means and ranges over seeds, and whether two arms are told apart by them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

QUALITY = ["loss", "apart?", "token accuracy %", "exact match %", "apart?"]  # the cells of `quality`


def spread(values: Iterable[float], digits: int = 2, factor: float = 1.0) -> str:
    """Mean and range."""
    scaled = [factor * value for value in values]
    return f"{statistics.mean(scaled):.{digits}f} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def middle(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def apart(arm: Sequence[dict], reference: Sequence[dict], name: str = "loss") -> str:
    """Whether the worst seed of one is better than the best of the other."""
    ours, theirs = [run[name] for run in arm], [run[name] for run in reference]
    if ours == theirs:
        return ""
    return "lower" if max(ours) < min(theirs) else "higher" if min(ours) > max(theirs) else "no"


def quality(runs: Sequence[dict], reference: Sequence[dict]) -> list[str]:
    """The cells of the seeds of one arm, told apart from those of another."""
    return [
        spread(run["loss"] for run in runs),
        apart(runs, reference),
        spread((run["token_accuracy"] for run in runs), 1, 100),
        spread((run["exact_match"] for run in runs), 1, 100),
        apart(runs, reference, "exact_match"),
    ]


def quality_before(start: dict) -> list[str]:
    """The same cells of a model before training, which has no seeds."""
    accuracy = [f"{100 * start[name]:.1f}" for name in ("token_accuracy", "exact_match")]
    return [f"{start['loss']:.2f}", "", *accuracy, ""]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    return ["", *("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))]

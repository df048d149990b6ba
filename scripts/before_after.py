"""Show scores before and after training: the table and the picture of `make demo`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from hrm_align.evaluation.scores import get_score, percent

# The two colours differ in lightness, so the picture is readable without colour vision.
BEFORE, AFTER = "#b8c4d0", "#1f5fa8"


class BeforeAfter(NamedTuple):
    """The scores of one task before and after training, each in the form of `Score.to_dict`."""

    name: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def before_after_table(rows: Sequence[BeforeAfter], title: str) -> Table:
    """Return a table of held-out scores with 95 % intervals. The last row, the total, is bold."""
    table = Table("task", "before", "after", "n", title=title, title_justify="left")
    for index, (name, before, after) in enumerate(rows):
        last = index == len(rows) - 1
        table.add_row(name, percent(before), percent(after), str(after["n"]), style="bold" if last else None)
    return table


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a `metrics.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def draw_before_after(rows: Sequence[BeforeAfter], metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Save a picture: scores with their intervals on the left, the loss of the run on the right.

    Args:
        rows: scores; each row becomes one pair of bars.
        metrics: records of the run's metrics.jsonl.
        path: the file to write, .png or .svg.
    """
    import matplotlib

    matplotlib.use("Agg")  # draws into a file; works without a display
    import matplotlib.pyplot as plt

    figure, (scores, losses) = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(3, 2), layout="constrained")
    sides = (
        ("before", -0.19, BEFORE, [row.before for row in rows]),
        ("after", 0.19, AFTER, [row.after for row in rows]),
    )
    for label, offset, colour, results in sides:
        values = [100 * get_score(result) for result in results]
        errors = [
            [value - 100 * result["interval"][0] for value, result in zip(values, results, strict=True)],
            [100 * result["interval"][1] - value for value, result in zip(values, results, strict=True)],
        ]
        places = [index + offset for index in range(len(rows))]
        scores.bar(places, values, width=0.36, color=colour, label=label, yerr=errors, capsize=3, ecolor="#444444")
        for place, value, result in zip(places, values, results, strict=True):
            scores.text(place, 100 * result["interval"][1] + 1.5, f"{value:.1f}", ha="center", fontsize=9)
    scores.set_xticks(range(len(rows)), [row.name for row in rows])
    scores.set(ylim=(0, 122), yticks=range(0, 101, 20), ylabel="score, %", title="held-out scores, 95 % intervals")
    scores.legend(frameon=False, loc="upper left", ncols=2)
    for key, colour, label in (("loss", AFTER, "training"), ("eval_loss", "#444444", "held out")):
        points = [(record["step"], float(record[key])) for record in metrics if key in record]
        losses.plot(*zip(*points, strict=True), color=colour, label=label, marker="o" if key == "eval_loss" else None)
    losses.set(xlabel="step", ylabel="loss, nats per token", title="fine-tuning", yscale="log")
    losses.legend(frameon=False)
    for axis in (scores, losses):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
